//! Values to bytes and back: the one file that names bincode.
//!
//! Integers have their fixed width and lengths are 8 bytes, little-endian; rows, which are written often and can be
//! made anew, take as few bytes for each as they need. The encoding neither describes itself
//! nor notices a flipped bit: what is kept is versioned by its author and sealed by [`crate::envelope`].
//! Reading never trusts the bytes: a length beyond them is an error, and so is a byte too many.

use bincode::Options;
use bincode::config::{Bounded, FixintEncoding, RejectTrailing, WithOtherIntEncoding, WithOtherLimit};
use bincode::config::{DefaultOptions, WithOtherTrailing};
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

/// The most bytes that one value may take: far above any record, far below what would exhaust memory.
pub const MAX_BYTES: u64 = 64 << 20;

type Settings = WithOtherTrailing<
    WithOtherLimit<WithOtherIntEncoding<DefaultOptions, FixintEncoding>, Bounded>,
    RejectTrailing,
>;

/// Reads one value from bytes: `&mut Reader` is a [`serde::Deserializer`].
pub type Reader<'b> = bincode::Deserializer<bincode::de::read::SliceReader<'b>, Settings>;

/// What a [`Reader`] says when the bytes do not hold what is asked of them.
pub type ReaderError = bincode::Error;

/// Bytes that do not hold the value that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not decodable: {0}")]
pub struct CodecError(String);

/// The bytes of `value`.
///
/// # Panics
/// If the value cannot be encoded: a sequence that does not know its length, or a `Serialize` that refuses.
/// Both are mistakes in a type, not in its data.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    match writing().serialize(value) {
        Ok(bytes) => bytes,
        Err(error) => panic!("a stored type must always be encodable: {error}"),
    }
}

/// The value that `bytes` hold, all of them.
///
/// # Errors
/// [`CodecError`] if they hold something else, or more than it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_with(bytes, |reader| T::deserialize(reader))
}

/// Like [`decode`], for a caller that chooses the type while reading, for example by a schema version.
///
/// # Errors
/// [`CodecError`] if `read` fails, or leaves bytes unread.
pub fn decode_with<T>(
    bytes: &[u8],
    read: impl for<'a, 'b> FnOnce(&'a mut Reader<'b>) -> Result<T, ReaderError>,
) -> Result<T, CodecError> {
    // One byte below the limit, so that the probe for a trailing byte is never refused for size.
    if bytes.len() as u64 >= MAX_BYTES {
        return Err(CodecError(format!("{} bytes are more than a value may take", bytes.len())));
    }
    let mut reader = Reader::from_slice(bytes, settings());
    let value = read(&mut reader).map_err(|error| CodecError(error.to_string()))?;
    match u8::deserialize(&mut reader) {
        Ok(_) => Err(CodecError("bytes are left over".into())),
        Err(_) => Ok(value),
    }
}

/// The bytes of a row of a view: numbers and lengths take as few as they need.
///
/// # Panics
/// As [`encode`].
pub fn encode_row<T: Serialize + ?Sized>(row: &T) -> Vec<u8> {
    match DefaultOptions::new().serialize(row) {
        Ok(bytes) => bytes,
        Err(error) => panic!("a row must always be encodable: {error}"),
    }
}

/// The row that `bytes` hold, all of them.
///
/// # Errors
/// [`CodecError`] if they hold something else, or more than it.
pub fn decode_row<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let options = DefaultOptions::new().with_limit(MAX_BYTES).reject_trailing_bytes();
    options.deserialize(bytes).map_err(|error| CodecError(error.to_string()))
}

fn settings() -> Settings {
    DefaultOptions::new().with_fixint_encoding().with_limit(MAX_BYTES).reject_trailing_bytes()
}

/// Without the limit: a value of ours that is too large is refused where it is read from outside, not here.
fn writing() -> impl Options {
    DefaultOptions::new().with_fixint_encoding()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_and_a_byte_too_many_or_too_few_does_not() {
        let value = (7_u64, "words".to_owned(), vec![Some(1_u8), None]);
        let mut bytes = encode(&value);
        assert_eq!(decode::<(u64, String, Vec<Option<u8>>)>(&bytes), Ok(value));
        bytes.push(0);
        assert!(decode::<(u64, String, Vec<Option<u8>>)>(&bytes).is_err());
        bytes.truncate(bytes.len() - 2);
        assert!(decode::<(u64, String, Vec<Option<u8>>)>(&bytes).is_err());
    }

    #[test]
    fn a_chosen_reader_must_also_read_to_the_end() {
        let bytes = encode(&(1_u32, 2_u32));
        let both = decode_with(&bytes, |reader| <(u32, u32)>::deserialize(reader));
        assert_eq!(both, Ok((1, 2)));
        assert!(decode_with(&bytes, |reader| u32::deserialize(reader)).is_err());
    }

    #[test]
    fn a_row_survives_in_fewer_bytes_and_a_byte_too_many_or_too_few_does_not() {
        let row = (7_u64, "words".to_owned(), vec![Some(1_u8), None]);
        let mut bytes = encode_row(&row);
        assert!(bytes.len() < encode(&row).len() / 2);
        assert_eq!(decode_row::<(u64, String, Vec<Option<u8>>)>(&bytes), Ok(row));
        bytes.push(0);
        assert!(decode_row::<(u64, String, Vec<Option<u8>>)>(&bytes).is_err());
        bytes.truncate(bytes.len() - 2);
        assert!(decode_row::<(u64, String, Vec<Option<u8>>)>(&bytes).is_err());
    }

    #[test]
    fn a_hostile_length_is_an_error() {
        let bytes = u64::MAX.to_le_bytes();
        assert!(decode::<String>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
        let row = encode_row(&u64::MAX);
        assert!(decode_row::<String>(&row).is_err());
        assert!(decode_row::<Vec<u64>>(&row).is_err());
    }
}
