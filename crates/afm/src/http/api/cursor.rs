//! Cursors: places in lists, as opaque texts.

use slamon_store::TaskPlace;

use crate::http::error::{ApiError, invalid};

/// Writes a place in a list. `list` says which list it is, with its order and its filters.
pub(in crate::http) fn write(list: &str, place: TaskPlace) -> String {
    format!("{:x}.{:016x}", place.cast_unsigned(), check(list, place))
}

/// Reads what [`write()`] has written for the same list.
///
/// # Errors
/// Fails when it was damaged, or is of another list.
pub(in crate::http) fn read(list: &str, text: &str) -> Result<TaskPlace, ApiError> {
    let place = text.split_once('.').and_then(|(place, _)| u64::from_str_radix(place, 16).ok());
    let place = place.map(u64::cast_signed).filter(|place| write(list, *place) == text);
    let problem =
        "is none that this list, with this order and these filters, has given: begin again without it";
    place.ok_or_else(|| invalid("cursor", problem))
}

/// A check that tells damage and mistakes, and no malice: FNV-1a.
fn check(list: &str, place: TaskPlace) -> u64 {
    let bytes = list.bytes().chain(place.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_list_and_undamaged() {
        for place in [0, 1, -1, 4_711, i64::MAX, i64::MIN] {
            let cursor = write("tasks", place);
            assert_eq!(read("tasks", &cursor).ok(), Some(place));
            assert!(read("agents", &cursor).is_err());
            for n in 0..cursor.len() {
                let mut damaged = cursor.clone().into_bytes();
                damaged[n] = if damaged[n] == b'0' { b'1' } else { b'0' };
                assert!(read("tasks", &String::from_utf8(damaged).unwrap()).is_err(), "{cursor} at {n}");
            }
        }
        for text in ["", ".", "0", "0.", ".0", "+1.0", "é", "0.cbf29ce484222325"] {
            let error = read("tasks", text).unwrap_err().to_string();
            assert!(error.starts_with("cursor: is none"), "{error}");
        }
    }
}
