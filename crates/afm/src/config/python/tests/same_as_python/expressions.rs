//! One expression at a time: a list of what settings hold, and random ones.

use super::differences;

/// All of these are on the list.
const READ: &str = include_str!("read.txt");

/// Python raises an exception, and so do we.
const RAISES: &str = include_str!("raises.txt");

/// Not on the list, whatever Python makes of it.
const UNREAD: &str = include_str!("unread.txt");

fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn what_is_on_the_list_is_what_python_makes_of_it() {
    let expressions = lines(READ);
    let (differ, _) = differences(&expressions);
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    for expression in &expressions {
        let source = format!(
            "import os, logging\nfrom datetime import timedelta\nfrom urllib.parse import quote, quote_plus\n\
             X = {expression}\n"
        );
        let found = super::by_us("/etc/afm.cfg", &source).expect(expression).remove("X").expect(expression);
        assert!(found.is_ok(), "{expression}: {found:?}");
    }
}

#[test]
fn what_python_raises_is_raised_here() {
    let expressions = lines(RAISES);
    let (differ, unread) = differences(&expressions);
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    assert_eq!(unread, [""; 0]);
}

#[test]
fn what_is_not_on_the_list_has_no_value() {
    for expression in &lines(UNREAD) {
        let source = format!("import os\nfrom datetime import timedelta\nX = {expression}\n");
        let found = super::by_us("/etc/afm.cfg", &source).expect(expression).remove("X").expect(expression);
        let kind = found.map_err(|fault| fault.kind);
        assert_eq!(kind, Err(super::FaultKind::Unreadable), "{expression}");
    }
}

/// Numbers in a fixed order that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn expression(&mut self, depth: usize) -> String {
        const ATOMS: [&str; 28] = [
            "0",
            "1",
            "-1",
            "2",
            "7",
            "60",
            "1000000007",
            "0.5",
            "-1.5",
            "1e10",
            "True",
            "False",
            "None",
            "''",
            "'a'",
            "'42'",
            "'a b'",
            "' 5 '",
            "'%s'",
            "'{}'",
            "()",
            "[]",
            "[1, 'a']",
            "(2, 3)",
            "{'a': 1}",
            "timedelta(hours=5)",
            "os.environ.get('NUMBER')",
            "os.environ.get('X')",
        ];
        if depth == 0 {
            return self.one(&ATOMS).to_owned();
        }
        let mut part = || self.below(depth);
        let depths = [part(), part(), part()];
        match self.below(13) {
            0..4 => {
                let operator = self.one(&["+", "-", "*", "/", "//", "%", "**", "<<", ">>", "&", "|", "^"]);
                format!("({} {operator} {})", self.expression(depths[0]), self.expression(depths[1]))
            }
            4 => {
                let operator = self.one(&["==", "!=", "<", "<=", ">", ">=", "in", "not in"]);
                format!("({} {operator} {})", self.expression(depths[0]), self.expression(depths[1]))
            }
            5 => {
                let operator = self.one(&["and", "or"]);
                format!("({} {operator} {})", self.expression(depths[0]), self.expression(depths[1]))
            }
            6 => format!("{}({})", self.one(&["not ", "-", "+", "~"]), self.expression(depths[0])),
            7 => {
                let function = self.one(&["int", "float", "bool", "str", "len", "abs"]);
                format!("{function}({})", self.expression(depths[0]))
            }
            8 => {
                let [a, b, c] = depths.map(|depth| self.expression(depth));
                format!("({a} if {b} else {c})")
            }
            9 => {
                let method = self.one(&[
                    "upper()",
                    "strip()",
                    "split()",
                    "lower()",
                    "isdigit()",
                    "get('a', 5)",
                    "format(1, 'b')",
                    "replace('a', 'bc')",
                    "join(['x', 'y'])",
                    "total_seconds()",
                    "split('a')",
                    "startswith('a')",
                ]);
                format!("({}).{method}", self.expression(depths[0]))
            }
            10 => format!("({})[{}]", self.expression(depths[0]), self.expression(depths[1])),
            11 => {
                let (a, b) = (self.expression(depths[0]), self.expression(depths[1]));
                format!("[{a}, {b}]")
            }
            _ => {
                let spec = self.one(&["%s-%s", "%d|%5s", "%r%%%-4s|", "%.2f%s", "%05d%s", "%x,%s"]);
                format!("('{spec}' % ({}, {}))", self.expression(depths[0]), self.expression(depths[1]))
            }
        }
    }
}

#[test]
fn random_expressions_are_what_python_makes_of_them() {
    let mut random = Random(0x005e_ed0f_a11f_ab1e);
    // Powers and shifts of such sizes would keep Python busy.
    let heavy = |expression: &String| {
        expression.matches("**").count() + expression.matches("<<").count() > 1
            || (expression.contains("**") && (expression.contains("1000000007") || expression.contains("<<")))
            || (expression.contains("<<") && expression.contains("1000000007"))
    };
    let expressions: Vec<String> = std::iter::repeat_with(|| random.expression(3))
        .filter(|expression| {
            !heavy(expression) && !expression.contains("* 1000000007") && !expression.contains("1000000007 *")
        })
        .take(3_000)
        .collect();
    let (differ, unread) = differences(&expressions);
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ[..differ.len().min(20)].join("\n"));
    assert!(unread.len() < expressions.len() / 4, "{} were not read: {:?}", unread.len(), &unread[..50]);
}
