//! Beginning again: what backups are kept as, whether they can be trusted, and how a data folder is made of them.
//!
//! Backups stand on a *shelf*, a folder of archives ([`shelf`]). One that stands by itself is *full*; one that adds to
//! another needs that one, and so on down to a full one: a *chain*. A chain is *proved* by reading all of it
//! ([`proof`]), before anything is made of it and after anything is added to it. A data folder is made beside the place
//! where it shall be, looked through, and put there whole ([`restore`]). Folders that no server holds are opened in
//! [`folder`] and nowhere else.

pub(crate) mod bars;
pub(crate) mod folder;
pub(crate) mod proof;
pub(crate) mod pruning;
pub(crate) mod restore;
pub(crate) mod shelf;

use data_encoding::HEXLOWER_PERMISSIVE;

/// The hash that 64 hexadecimal digits of either case say: a head, as people and programs write it.
pub(crate) fn read_hash(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn a_hash_is_read_as_it_was_written_and_nothing_else_is() {
        let hash: [u8; 32] = std::array::from_fn(|at| at as u8 * 8 + 3);
        let text = HEXLOWER.encode(&hash);
        assert_eq!(read_hash(&text), Some(hash));
        assert_eq!(read_hash(&text.to_uppercase()), Some(hash));
        for text in ["", "ab", &"+1".repeat(32), &"é".repeat(32), &"0".repeat(63), &"0".repeat(65)] {
            assert_eq!(read_hash(text), None, "{text}");
        }
    }
}
