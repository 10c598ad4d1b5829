//! Hosts in letters beyond ASCII, by the rules of IDNA 2008 as the Python package `idna` has them.

use std::sync::LazyLock;

use regex::Regex;
use reqwest::Url;

/// Letters that a label may have, and signs where their neighbours allow them.
static ALLOWED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let letters = r"[\p{L}\p{Nd}\p{Mn}\p{Mc}\x{200c}\x{200d}\x{30fb}\x{6fd}\x{6fe}\x{f0b}\x{3007}-]";
    let pattern =
        format!(r"^(?:l(?:\x{{b7}}l)+|\x{{375}}\p{{Greek}}|\p{{Hebrew}}[\x{{5f3}}\x{{5f4}}]+|{letters})+$");
    Regex::new(&pattern).ok()
});
static KATAKANA: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[\p{Hiragana}\p{Katakana}\p{Han}]").ok());

/// A label in lower case, and in ASCII; `None` if it has a letter that it cannot have.
pub(super) fn label(given: &str) -> Option<String> {
    let label = given.to_lowercase();
    if label.is_ascii() {
        return Some(label);
    }
    let are_hyphens_wrong =
        label.starts_with('-') || label.ends_with('-') || label.chars().skip(2).take(2).eq("--".chars());
    if are_hyphens_wrong || !ALLOWED.as_ref()?.is_match(&label) {
        return None;
    }
    if label.contains('\u{30fb}') && !KATAKANA.as_ref()?.is_match(&label) {
        return None;
    }
    // Digits of Arabic and of Persian are not mixed.
    if label.contains(|letter| matches!(letter, '\u{660}'..='\u{669}'))
        && label.contains(|letter| matches!(letter, '\u{6f0}'..='\u{6f9}'))
    {
        return None;
    }
    let ascii = format!("xn--{}", punycode(&label)?);
    // Browsers put other letters in the place of many, which this does not; in all else they are as strict.
    let url = Url::parse(&format!("http://{label}/")).ok()?;
    (url.host_str() == Some(&ascii)).then_some(ascii)
}

/// RFC 3492.
fn punycode(label: &str) -> Option<String> {
    let letters: Vec<u32> = label.chars().map(u32::from).collect();
    let mut written: String = label.chars().filter(char::is_ascii).collect();
    let plain = u32::try_from(written.len()).ok()?;
    if plain > 0 {
        written.push('-');
    }
    let (mut done, mut from, mut delta, mut bias) = (plain, 128, 0_u32, 72);
    while (done as usize) < letters.len() {
        let next = letters.iter().copied().filter(|letter| *letter >= from).min()?;
        delta = delta.checked_add((next - from).checked_mul(done + 1)?)?;
        for letter in &letters {
            if *letter < next {
                delta = delta.checked_add(1)?;
            }
            if *letter != next {
                continue;
            }
            let (mut rest, mut k) = (delta, 36_u32);
            loop {
                let threshold = k.saturating_sub(bias).clamp(1, 26);
                if rest < threshold {
                    break;
                }
                written.push(digit(threshold + (rest - threshold) % (36 - threshold))?);
                rest = (rest - threshold) / (36 - threshold);
                k += 36;
            }
            written.push(digit(rest)?);
            bias = adapted(delta, done + 1, done == plain);
            (delta, done) = (0, done + 1);
        }
        (delta, from) = (delta.checked_add(1)?, next + 1);
    }
    Some(written)
}

fn digit(value: u32) -> Option<char> {
    char::from_digit((value + 10) % 36, 36)
}

fn adapted(delta: u32, count: u32, is_first: bool) -> u32 {
    let mut delta = if is_first { delta / 700 } else { delta / 2 };
    delta += delta / count;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}
