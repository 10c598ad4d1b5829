//! Bounds how deep the syntax tree of a file can be, before there is one, since it is walked and freed by
//! recursion.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::Mode;
use ruff_python_parser::lexer::lex;

/// This many brackets, blocks and operators may be nested.
const DEEPEST: u32 = 100;

/// Returns the line, from 1, at which a source is nested too deeply.
pub(super) fn too_deep(source: &str) -> Option<usize> {
    if !is_too_deep(source) {
        return None;
    }
    // The lexer does not say where it is. But the longer a beginning of the source, the deeper it is nested.
    let line_ends: Vec<usize> = source.match_indices('\n').map(|(end, _)| end + 1).collect();
    let whole_lines = line_ends.partition_point(|end| !is_too_deep(&source[..*end]));
    Some(whole_lines + 1)
}

fn is_too_deep(source: &str) -> bool {
    let mut lexer = lex(source, Mode::Module);
    let mut level = Level::default();
    let mut outer = Vec::new();
    loop {
        match lexer.next_token() {
            TokenKind::EndOfFile => return false,
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart
            | TokenKind::Indent => {
                outer.push(level);
                level = Level { before: level.now + 1, now: level.now + 1 };
            }
            TokenKind::Rpar
            | TokenKind::Rsqb
            | TokenKind::Rbrace
            | TokenKind::FStringEnd
            | TokenKind::TStringEnd => {
                level = outer.pop().unwrap_or_default();
                // What follows a bracket, as in f(1)(2), contains what comes before it.
                level.now += 1;
            }
            TokenKind::Dedent => level = outer.pop().unwrap_or_default(),
            // What follows is not nested in what came before.
            TokenKind::Comma | TokenKind::Newline | TokenKind::Semi => level.now = level.before,
            // A comma after a lambda does not end it.
            TokenKind::Lambda => {
                level.before += 1;
                level.now += 1;
            }
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline => {}
            _ => level.now += 1,
        }
        if level.now > DEEPEST {
            return true;
        }
    }
}

/// The greatest depth that a place in the source can have.
#[derive(Clone, Copy, Default)]
struct Level {
    /// The depth at which the part that is being read began.
    before: u32,
    now: u32,
}
