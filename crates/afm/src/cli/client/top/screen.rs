//! The terminal while it shows a live view, and its keys.

use std::io::{self, Write};
use std::thread;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{cursor, queue};
use tokio::sync::mpsc;

use super::super::failure::Failure;
use super::super::terminal_text::cut;

/// The alternate screen. The terminal is as it was once this is dropped.
pub(super) struct Screen;

impl Screen {
    /// Takes the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on its drop gives the terminal back, also when the next line fails.
        let screen = Self;
        let mut out = io::stdout();
        queue!(out, EnterAlternateScreen, cursor::Hide)?;
        out.flush()?;
        Ok(screen)
    }

    /// Draws lines, which `lines` makes for so many rows and columns.
    pub(super) fn draw(&mut self, lines: impl FnOnce(usize, usize) -> Vec<String>) -> Result<(), Failure> {
        // A terminal that does not know its size is as large as most.
        let (columns, rows) =
            size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24));
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        let mut frame = Vec::new();
        queue!(frame, cursor::MoveTo(0, 0)).map_err(Failure::of_writing)?;
        for (place, line) in lines(rows, columns).iter().take(rows).enumerate() {
            if place > 0 {
                frame.extend_from_slice(b"\r\n");
            }
            // Before the text: behind a line that is full, some terminals would clear its last column.
            queue!(frame, Clear(ClearType::UntilNewLine)).map_err(Failure::of_writing)?;
            frame.extend_from_slice(cut(line, columns).as_bytes());
        }
        queue!(frame, Clear(ClearType::FromCursorDown)).map_err(Failure::of_writing)?;
        let mut out = io::stdout();
        out.write_all(&frame).and_then(|()| out.flush()).map_err(Failure::of_writing)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // A terminal that is gone needs nothing back.
        let _ = queue!(out, cursor::Show, LeaveAlternateScreen);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// What somebody does at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The view is to end.
    End,
    /// It has another size.
    Redraw,
}

/// Reads keys on a thread of its own, which ends with the program.
pub(super) fn keys() -> mpsc::UnboundedReceiver<Key> {
    let (send, keys) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(key) = key_of(&event)
                && send.send(key).is_err()
            {
                break;
            }
        }
    });
    keys
}

fn key_of(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Redraw),
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('c') if is_control => Some(Key::End),
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Key::End),
                KeyCode::Char('l') if is_control => Some(Key::Redraw),
                _ => None,
            }
        }
        _ => None,
    }
}
