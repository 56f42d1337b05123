//! Hashes as people and programs write them: hexadecimal digits.

/// The bytes in lower-case digits.
pub(crate) fn write(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash that 64 digits of either case say.
pub(crate) fn read(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_was_written_and_nothing_else_is() {
        let hash: [u8; 32] = std::array::from_fn(|at| at as u8 * 8 + 3);
        assert_eq!(read(&write(&hash)), Some(hash));
        assert_eq!(read(&write(&hash).to_uppercase()), Some(hash));
        for text in ["", "ab", &"+1".repeat(32), &"é".repeat(32), &"0".repeat(63), &"0".repeat(65)] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
