//! What people see: results on standard output, everything else on standard error; colours and cut
//! lines only where a terminal is.

use anstyle::{AnsiColor, Style};
use formats::error::Printable;
use formats::place::{path_hex, path_text};
use std::io::{BufWriter, IsTerminal, StdoutLock, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless the variable NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Headings.
pub const BOLD: Style = Style::new().bold();
/// What expired or failed.
pub const RED: Style = AnsiColor::Red.on_default();
/// What needs attention soon.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// What came in.
pub const GREEN: Style = AnsiColor::Green.on_default();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();

/// Where and how messages and results go.
pub struct Ui {
    quiet: bool,
    color_out: bool,
    color_err: bool,
    json_errors: AtomicBool,
}

/// Standard output, gathered into large writes.
pub type Out = BufWriter<Stdout>;

/// Standard output, free of a line about progress that stands on the same terminal.
pub struct Stdout(StdoutLock<'static>);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        erase_progress();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Ui {
    /// From `--color` and `--quiet`.
    pub fn new(color: Color, quiet: bool) -> Self {
        let choice = match color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let wanted = |auto: anstream::ColorChoice| match color {
            Color::Auto => auto != anstream::ColorChoice::Never,
            Color::Always => true,
            Color::Never => false,
        };
        Ui {
            quiet,
            color_out: wanted(anstream::AutoStream::choice(&std::io::stdout())),
            color_err: wanted(anstream::AutoStream::choice(&std::io::stderr())),
            json_errors: AtomicBool::new(false),
        }
    }

    /// Results.
    pub fn out(&self) -> Out {
        BufWriter::with_capacity(128 * 1024, Stdout(std::io::stdout().lock()))
    }

    /// From now on errors of one store are JSON objects on standard error.
    pub fn errors_as_json(&self) {
        self.json_errors.store(true, Ordering::Relaxed);
    }

    /// An error of one store among several; the work goes on.
    pub fn store_error(&self, store: &str, error: &formats::Error) {
        if self.json_errors.load(Ordering::Relaxed) {
            let mut object = serde_json::json!({ "store": store });
            let path = error.place().path.as_deref().filter(|path| path_text(path) == store);
            if let Some(hex) = path.and_then(path_hex) {
                object["store_hex"] = hex.into();
            }
            object["error"] =
                serde_json::json!({ "kind": error.kind().name(), "message": error.to_string() });
            self.line(&object.to_string());
        } else {
            crate::error::report(self, error);
        }
    }

    /// What went wrong.
    pub fn error(&self, message: &str) {
        self.labelled("keyferry", RED, message);
    }

    /// What caused the error before.
    pub fn cause(&self, message: &str) {
        self.labelled("caused by", DIM, &Printable(message).to_string());
    }

    /// What to do next.
    pub fn hint(&self, message: &str) {
        self.labelled("hint", GREEN, message);
    }

    /// What a person should know although the command goes on. Not silenced by `--quiet`.
    pub fn warn(&self, message: &str) {
        self.labelled("warning", YELLOW, message);
    }

    /// What was done; silenced by `--quiet`.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            self.line(message);
        }
    }

    /// A plain line on standard error.
    pub fn line(&self, text: &str) {
        erase_progress();
        // Nothing can be said about a closed standard error.
        drop(writeln!(std::io::stderr(), "{text}"));
    }

    /// `text` in `style`, where results are coloured.
    pub fn paint(&self, style: Style, text: &str) -> String {
        painted(self.color_out, style, text)
    }

    /// The width to which lines are cut; `None` where results don't go to a terminal.
    pub fn width(&self) -> Option<usize> {
        let out = std::io::stdout();
        if !out.is_terminal() {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(&out).ok()?;
        (size.ws_col >= 20).then_some(size.ws_col as usize)
    }

    /// Progress of long work, on one line that is overwritten; `None` where nobody looks.
    pub fn progress(&self) -> Option<Progress> {
        (!self.quiet && std::io::stderr().is_terminal()).then(Progress::default)
    }

    fn labelled(&self, label: &str, style: Style, message: &str) {
        self.line(&format!("{} {message}", painted(self.color_err, style, &format!("{label}:"))));
    }
}

fn painted(on: bool, style: Style, text: &str) -> String {
    if on { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// A line on the terminal that says how far long work is; shown after the first second.
pub struct Progress {
    started: std::time::Instant,
    shown: Option<std::time::Instant>,
}

/// Whether such a line stands there. There is one terminal.
static PROGRESS: AtomicBool = AtomicBool::new(false);

impl Default for Progress {
    fn default() -> Self {
        Progress { started: std::time::Instant::now(), shown: None }
    }
}

impl Progress {
    /// So many stores were looked at.
    pub fn at(&mut self, done: usize) {
        let due = self.shown.map_or(self.started.elapsed().as_secs() >= 1, |s| s.elapsed().as_millis() > 200);
        if due {
            self.shown = Some(std::time::Instant::now());
            PROGRESS.store(true, Ordering::Relaxed);
            let stores = if done == 1 { "store" } else { "stores" };
            // The next thing that is said goes over it.
            drop(write!(std::io::stderr(), "\r\u{1b}[K{done} {stores}\r"));
        }
    }

    /// Clears the line.
    pub fn end(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        erase_progress();
    }
}

fn erase_progress() {
    if PROGRESS.swap(false, Ordering::Relaxed) {
        drop(write!(std::io::stderr(), "\r\u{1b}[K"));
    }
}

/// Columns of text, aligned by the width that characters have on a terminal.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(String, Option<Style>)>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(head: &[&'static str]) -> Self {
        Table { head: head.to_vec(), rows: Vec::new() }
    }

    /// Appends a row; text from files must have passed through `Printable`.
    pub fn row(&mut self, cells: Vec<(String, Option<Style>)>) {
        self.rows.push(cells);
    }

    /// Prints it, `indent` blanks to the right. On a terminal the column `elastic` gives way.
    pub fn print(&self, ui: &Ui, out: &mut impl Write, indent: usize, elastic: usize) -> std::io::Result<()> {
        let mut widths: Vec<usize> = self.head.iter().map(|h| h.width()).collect();
        for row in &self.rows {
            for (width, (cell, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if let (Some(limit), Some(width)) = (ui.width(), widths.get(elastic).copied()) {
            let all = indent + widths.iter().map(|w| w + 2).sum::<usize>() - 2;
            if let (Some(room), Some(slot)) =
                (width.checked_sub(all.saturating_sub(limit)), widths.get_mut(elastic))
            {
                *slot = room.max(12.min(width));
            }
        }
        let head = self.head.iter().map(|h| ((*h).to_owned(), Some(BOLD))).collect::<Vec<_>>();
        let mut line = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            line.clear();
            line.extend(std::iter::repeat_n(' ', indent));
            put_row(ui, &mut line, row, &widths);
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

fn put_row(ui: &Ui, line: &mut String, row: &[(String, Option<Style>)], widths: &[usize]) {
    for (at, ((cell, style), width)) in row.iter().zip(widths).enumerate() {
        let text = cut(cell, *width);
        let pad = if at + 1 == row.len() { 0 } else { (width + 2).saturating_sub(text.width()) };
        match style {
            Some(style) if ui.color_out => line.push_str(&painted(true, *style, &text)),
            _ => line.push_str(&text),
        }
        line.extend(std::iter::repeat_n(' ', pad));
    }
}

/// `text` in at most `width` columns; what was cut off shows as `…`.
fn cut(text: &str, width: usize) -> std::borrow::Cow<'_, str> {
    if text.width() <= width {
        return text.into();
    }
    let mut used = 0;
    let mut kept = String::new();
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        used += w;
        kept.push(c);
    }
    kept.push('…');
    kept.into()
}

/// Asks a person at the terminal; only `y` and `yes` agree. `None`: there is no terminal.
pub fn confirm(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    drop(write!(std::io::stderr(), "{question} [y/N] "));
    let mut answer = String::new();
    // What can't be read is no consent.
    let read = std::io::stdin().read_line(&mut answer).is_ok();
    Some(read && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_by_width_and_cut_whole_characters() {
        assert_eq!(cut("名前です", 5), "名前…");
        assert_eq!(cut("abc", 3), "abc");
        let ui = Ui { quiet: false, color_out: false, color_err: false, json_errors: false.into() };
        let mut t = Table::new(&["A", "B"]);
        t.row(vec![("名".into(), None), ("x".into(), Some(RED))]);
        t.row(vec![("abcd".into(), None), ("y".into(), None)]);
        let mut out = Vec::new();
        t.print(&ui, &mut out, 1, 0).expect("memory");
        assert_eq!(String::from_utf8_lossy(&out), " A     B\n 名    x\n abcd  y\n");
    }
}
