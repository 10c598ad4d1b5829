//! Places in lists as opaque texts, for lists whose stores name places by texts.

use super::query::Query;
use crate::http::error::{ApiError, invalid};

/// Writes a place in a list. `list` says which list it is, with its filters.
pub(super) fn write(list: &str, place: &str) -> String {
    let hex: String = place.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.{:016x}", check(list, place))
}

/// Takes the parameter `cursor`, which [`write()`] has written for the same list.
///
/// # Errors
/// Fails when it was damaged, or is of another list.
pub(super) fn take(query: &mut Query<'_>, list: &str) -> Result<Option<String>, ApiError> {
    let Some(text) = query.text("cursor")? else { return Ok(None) };
    let place = read(list, &text);
    let problem = "is none that this list, with these filters, has given: begin again without it";
    place.map(Some).ok_or_else(|| invalid("cursor", problem))
}

fn read(list: &str, text: &str) -> Option<String> {
    let (hex, _) = text.split_once('.')?;
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let bytes = hex.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
    let place = String::from_utf8(bytes).ok()?;
    (write(list, &place) == text).then_some(place)
}

/// A check that tells damage and mistakes, and no malice: FNV-1a.
fn check(list: &str, place: &str) -> u64 {
    let bytes = list.bytes().chain([0]).chain(place.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_of_its_list_and_undamaged() {
        for place in ["", "7", "-1.\u{1f600}/%"] {
            let cursor = write("agents", place);
            assert_eq!(read("agents", &cursor).as_deref(), Some(place));
            assert_eq!(read("types", &cursor), None);
            for n in 0..cursor.len() {
                let mut damaged = cursor.clone().into_bytes();
                damaged[n] = if damaged[n] == b'0' { b'1' } else { b'0' };
                assert_eq!(read("agents", &String::from_utf8(damaged).unwrap()), None, "{cursor} at {n}");
            }
        }
        for text in ["", ".", "0", "0.", "+1.0", "é", "zz.0"] {
            assert_eq!(read("agents", text), None);
        }
    }
}
