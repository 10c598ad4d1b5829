//! Puts what a run measured into a document that is otherwise written by hand.

use anyhow::{Context, Result, bail};

/// Replaces what is between `<!-- table: NAME -->` and `<!-- end -->`.
///
/// # Errors
/// When the document has no such place, or more than one.
pub(crate) fn replace(document: &str, name: &str, text: &str) -> Result<String> {
    const END: &str = "<!-- end -->";
    let begin = format!("<!-- table: {name} -->");
    let (before, rest) = document.split_once(&begin).with_context(|| format!("there is no {begin}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("nothing ends {begin}"))?;
    if after.contains(&begin) {
        bail!("{begin} is there twice");
    }
    Ok(format!("{before}{begin}\n\n{}\n\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_marks_is_replaced() {
        let document = "a\n<!-- table: x -->\nold\n<!-- end -->\nb\n<!-- table: y -->\n<!-- end -->\n";
        let replaced = replace(document, "x", "| new |\n").unwrap();
        assert_eq!(
            replaced,
            "a\n<!-- table: x -->\n\n| new |\n\n<!-- end -->\nb\n<!-- table: y -->\n<!-- end -->\n"
        );
        assert_eq!(replace(&replaced, "x", "| new |\n").unwrap(), replaced);
        assert!(replace(&replaced, "y", "z").unwrap().ends_with("<!-- table: y -->\n\nz\n\n<!-- end -->\n"));
    }

    #[test]
    fn a_place_that_is_missing_or_doubled_is_an_error() {
        assert!(replace("", "x", "").is_err());
        assert!(replace("<!-- table: x -->", "x", "").is_err());
        let twice = "<!-- table: x -->\n<!-- end -->\n".repeat(2);
        assert!(replace(&twice, "x", "").is_err());
    }
}
