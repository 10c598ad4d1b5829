//! Numbers as arguments. What is wrong with one is said in plain words, which clap puts behind the name of the argument.

use std::fmt::Display;
use std::str::FromStr;

/// Makes a reader of whole numbers from `least` to `most`.
pub fn whole_number<N>(
    least: N,
    most: N,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text: &str| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// Reads a whole number of 64 bits.
///
/// # Errors
/// Says what it must be.
pub fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "must be a whole number of at most 64 bits, such as 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_within_its_bounds() {
        let port = whole_number(1_u16, 9_000);
        assert_eq!((port("1"), port("9000")), (Ok(1), Ok(9_000)));
        for text in ["0", "9001", "65536", "-1", "1.0", "http", ""] {
            assert_eq!(port(text), Err("must be a whole number from 1 to 9000".to_owned()), "{text}");
        }
        assert_eq!(integer("-9223372036854775808"), Ok(i64::MIN));
        for text in ["9223372036854775808", "x", "1.5", ""] {
            integer(text).unwrap_err();
        }
    }
}
