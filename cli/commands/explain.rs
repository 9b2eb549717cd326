//! `keyferry explain`: what a code or a message means, and what to do.

use super::Program;
use crate::error::{Failure, Result};
use crate::ui::{BOLD, DIM, Out, Ui};
use formats::error::Printable;
use formats::explain::{Answer, Topic, explain};
use std::io::Write;

/// Explain a code or a message, of ours or of another program
///
/// Codes of keyferry check, kinds of error and of loss, exit statuses; GSKit's numbers and CTGSK codes, IBM MQ's
/// reasons and AMQ messages, CKR values of PKCS#11 by name or number; usual messages of Java, OpenSSL and NSS by
/// a part of their text. The status is 1 when it isn't known; then near ones are shown.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The code, or a part of the message; several words need no quotes
    #[arg(required = true, value_name = "CODE|TEXT")]
    text: Vec<String>,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry explain stash-differs
  keyferry explain gskit 408
  keyferry explain 2393
  keyferry explain 0xa0
  keyferry explain keystore password was incorrect";

/// Explains.
pub fn run(program: &Program, args: &Args) -> Result {
    let ui = &program.ui;
    let question = args.text.join(" ");
    let answer = explain(&question);
    let mut out = ui.out();
    match &answer {
        Answer::Found(topics) if args.json => {
            serde_json::to_writer_pretty(&mut out, topics)?;
            writeln!(out)?;
        }
        Answer::Found(topics) => {
            for (n, topic) in topics.iter().enumerate() {
                if n > 0 {
                    writeln!(out)?;
                }
                print(ui, &mut out, topic)?;
            }
        }
        Answer::Near(near) => {
            if args.json {
                writeln!(out, "[]")?;
            }
            ui.error(&format!("\"{}\" is not known", Printable(&question)));
            let near: Vec<_> = near.iter().map(|t| format!("{} ({})", t.code, t.source)).collect();
            if !near.is_empty() {
                ui.hint(&format!("near to it: {}", near.join(", ")));
            }
        }
    }
    out.flush()?;
    if matches!(answer, Answer::Near(_)) { Err(Failure::No) } else { Ok(()) }
}

fn print(ui: &Ui, out: &mut Out, topic: &Topic) -> Result {
    let number = match topic.number {
        Some(n) if topic.source == "PKCS#11" => format!(" ({n:#x})"),
        Some(n) if topic.code != n.to_string() => format!(" ({n})"),
        _ => String::new(),
    };
    let heading = format!("{}{number}", topic.code);
    writeln!(out, "{}  {}", ui.paint(BOLD, &heading), ui.paint(DIM, topic.source))?;
    writeln!(out, "  {}", topic.meaning)?;
    if !topic.cause.is_empty() {
        writeln!(out, "  Usual cause: {}", topic.cause)?;
    }
    writeln!(out, "  What to do: {}", topic.advice)?;
    Ok(())
}
