//! The text of a token: `slamon_`, 256 random bits in 64 hexadecimal digits, and a checksum of those in 8.
//!
//! Whoever finds such a text in a file or a log recognises it, and one that was cut or mistyped asks no database.

use sha2::{Digest, Sha256};
use slamon_domain::TokenHash;

/// What all tokens begin with.
const PREFIX: &str = "slamon_";
/// The length of the random part, in bytes.
const RANDOM: usize = 32;
/// The length of the random part and of the checksum, in digits.
const RANDOM_DIGITS: usize = 2 * RANDOM;
const CHECKSUM_DIGITS: usize = 8;

/// Makes a token.
///
/// # Errors
/// Fails when the system has no random numbers.
pub fn make() -> Result<String, getrandom::Error> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random)?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{PREFIX}{digits}{}", checksum(&digits)))
}

/// Whether a text wants to be a token, good or bad.
#[must_use]
pub fn is_meant(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Returns by what a token is recognised; `None` if the text is no token.
#[must_use]
pub fn hash(text: &str) -> Option<TokenHash> {
    let rest = text.strip_prefix(PREFIX)?;
    let (digits, sum) = rest.split_at_checked(RANDOM_DIGITS)?;
    let is_lower_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_lower_hex && sum == checksum(digits)).then(|| TokenHash(Sha256::digest(text).into()))
}

fn checksum(digits: &str) -> String {
    format!("{:0width$x}", crc32fast::hash(digits.as_bytes()), width = CHECKSUM_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_recognised_and_what_was_changed_is_not() {
        let token = make().unwrap();
        assert_eq!(token.len(), PREFIX.len() + RANDOM_DIGITS + CHECKSUM_DIGITS);
        assert!(is_meant(&token));
        let hash_of_it = hash(&token).unwrap();
        assert_eq!(hash_of_it.0, <[u8; 32]>::from(Sha256::digest(&token)));
        let other = make().unwrap();
        assert_ne!(token, other);
        assert_ne!(Some(hash_of_it), hash(&other));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(hash(&changed), None, "{changed}");
            assert_eq!(hash(&token[..at]), None);
        }
        for text in [format!("{token}0"), format!(" {token}"), token.to_uppercase(), String::new()] {
            assert_eq!(hash(&text), None, "{text}");
        }
        assert_eq!(hash(&format!("{PREFIX}{}", "ä".repeat(36))), None);
    }
}
