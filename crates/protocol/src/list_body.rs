//! Bodies that bring several of what other bodies bring one of.

use uuid::Uuid;

use crate::fields::Fields;
use crate::{Invalid, ResultPost};

/// So many elements may come in one body.
pub const MOST_IN_LIST: usize = 1_000;

/// An element of a list that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidElement {
    /// The task that it is about, if it says so.
    pub task_id: Option<Uuid>,
    /// What is wrong with it.
    pub invalid: Invalid,
}

/// Takes a body apart that has one field, which is a list, and gives the text of each element.
///
/// # Errors
/// Where there is no such field or another one, where it is no list, or has no or too many elements.
pub fn elements<'a>(body: &'a str, name: &'static [&'static str; 1]) -> Result<Vec<&'a str>, Invalid> {
    let (mut elements, mut is_list) = (Vec::new(), false);
    let fields = Fields::of_body_with(body, name, |_, scanner| {
        // The field may be repeated.
        elements.clear();
        is_list = scanner.is_at_list();
        scanner.elements(|scanner| {
            elements.push(scanner.value()?);
            Ok(())
        })
    })?;
    let [list] = fields.known;
    let shown = list.require(|value| Ok(value.shown()))?;
    fields.rest.refuse()?;
    if !is_list {
        return Err(list.invalid(format!("must be an array, is {shown}")));
    }
    if elements.is_empty() || elements.len() > MOST_IN_LIST {
        let problem = format!("must hold 1 to {MOST_IN_LIST} elements, holds {}", elements.len());
        return Err(list.invalid(problem));
    }
    Ok(elements.into_iter().map(crate::value::Value::text).collect())
}

impl ResultPost {
    /// Reads a body that brings several results: `{"results": […]}`, each as the body that brings one. Returns
    /// `None` if the body has no field `results`.
    ///
    /// # Errors
    /// Where the list is wrong as a whole.
    pub fn parse_list(body: &str) -> Option<Result<Vec<Result<Self, InvalidElement>>, Invalid>> {
        const NAME: [&str; 1] = ["results"];
        let has_list = Fields::of_body(body, &NAME).is_ok_and(|fields| fields.known[0].is_there());
        has_list.then(|| {
            let elements = elements(body, &NAME)?;
            Ok(elements.into_iter().map(Self::parse_element).collect())
        })
    }

    fn parse_element(text: &str) -> Result<Self, InvalidElement> {
        Self::parse(text).map_err(|invalid| InvalidElement { task_id: task_id(text), invalid })
    }
}

/// The task that an element is about, if it says so.
#[must_use]
pub fn task_id(element: &str) -> Option<Uuid> {
    let fields = Fields::of_body(element, &["task_id"]).ok()?;
    fields.known[0].id().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<&str>, String> {
        elements(body, &["tasks"]).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn one_list_and_nothing_else() {
        assert_eq!(
            read(r#" {"tasks": [ {"a": [1, 2]} , 7,"x"]} "#),
            Ok(vec![r#"{"a": [1, 2]}"#, "7", r#""x""#])
        );
        assert_eq!(read(r#"{"tasks": 1, "tasks": [2]}"#), Ok(vec!["2"]));
        for (body, error) in [
            ("", "request body: must be a JSON object, is empty"),
            ("[]", "request body: must be a JSON object, is an array"),
            ("{}", "tasks: is required"),
            (r#"{"tasks": {}}"#, "tasks: must be an array, is an object"),
            (r#"{"tasks": [1], "tasks": 7}"#, "tasks: must be an array, is 7"),
            (r#"{"tasks": []}"#, "tasks: must hold 1 to 1000 elements, holds 0"),
            (r#"{"tasks": [1], "task": 2}"#, "task: is not a known field; known are tasks"),
        ] {
            assert_eq!(read(body).unwrap_err(), error, "{body}");
        }
        let many = |count| format!(r#"{{"tasks": [{}]}}"#, vec!["0"; count].join(","));
        assert_eq!(read(&many(1_000)).unwrap().len(), 1_000);
        assert_eq!(read(&many(1_001)).unwrap_err(), "tasks: must hold 1 to 1000 elements, holds 1001");
    }

    #[test]
    fn results_are_read_one_by_one() {
        let id = "de305d54-75b4-431b-adb2-eb6b9e546013";
        let good = format!(r#"{{"protocol": 1, "task_id": "{id}", "task_data": {{}}}}"#);
        assert_eq!(ResultPost::parse_list(&good), None);
        assert_eq!(ResultPost::parse_list("{"), None);
        let body = format!(r#"{{"results": [{good}, {{"protocol": 1, "task_id": "{id}"}}, 7]}}"#);
        let results = ResultPost::parse_list(&body).unwrap().unwrap();
        assert_eq!(results[0], Ok(ResultPost::parse(&good).unwrap()));
        let wrong = results[1].as_ref().unwrap_err();
        assert_eq!(wrong.task_id, Some(id.parse().unwrap()));
        assert_eq!(wrong.invalid.to_string(), "task_data: is required, or else task_error");
        assert_eq!(results[2].as_ref().unwrap_err().task_id, None);
    }
}
