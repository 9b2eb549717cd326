//! When certificates end, month by month, as an SVG.

use super::{Inventory, cut, day};
use maud::{Markup, html};

/// Months shown before the present one and from it on; what lies beyond is gathered at the ends.
const BEFORE: usize = 12;
const AFTER: usize = 36;
const COUNT: usize = BEFORE + AFTER + 2;

const WIDTH: usize = 1000;
const LEFT: usize = 44;
const TOP: usize = 26;
const HEIGHT: usize = 150;

/// What ends in one month.
#[derive(Default)]
struct Month {
    keys: usize,
    others: usize,
    names: Vec<String>,
}

/// The picture.
pub fn timeline(inventory: &Inventory) -> Markup {
    let present = month_of(inventory.now);
    let mut months: Vec<Month> = Vec::new();
    months.resize_with(COUNT, Month::default);
    for seen in inventory.certificates.values() {
        let Some(end) = seen.card.not_after else { continue };
        let at = (month_of(end) - present + BEFORE as i64 + 1).clamp(0, COUNT as i64 - 1);
        let Some(month) = usize::try_from(at).ok().and_then(|at| months.get_mut(at)) else { continue };
        if seen.card.key {
            month.keys += 1
        } else {
            month.others += 1
        }
        if month.names.len() < 6 {
            month.names.push(format!("{} {}", day(end), cut(&seen.card.name, 40)));
        }
    }
    let most = months.iter().map(|m| m.keys + m.others).max().unwrap_or(0).max(1);
    let step = (WIDTH - LEFT - 6) as f64 / COUNT as f64;
    let x = |at: usize| LEFT as f64 + at as f64 * step;
    let tall = |n: usize| n as f64 / most as f64 * HEIGHT as f64;
    let bottom = (TOP + HEIGHT) as f64;
    let into_month = x(BEFORE + 1) + step * part_of_month(inventory.now);
    let soon = step * inventory.within as f64 / (30.44 * 86_400.0);
    let total = TOP + HEIGHT + 46;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {total}")) width=(WIDTH) height=(total) role="img"
            aria-label="How many certificates end in each month" {
            rect class="soon" x=(px(into_month)) y=(TOP) width=(px(soon.min(WIDTH as f64 - into_month))) height=(HEIGHT) {}
            @for n in grid(most) {
                @let y = px(bottom - tall(n));
                line class="axis" x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                text class="tick" x=(LEFT - 8) y=(y) text-anchor="end" dominant-baseline="middle" { (n) }
            }
            @for (at, month) in months.iter().enumerate() {
                @if month.keys + month.others > 0 {
                    g {
                        title { (label(at, present)) ": " (count(month)) "\n" (month.names.join("\n")) }
                        @let past = if at <= BEFORE { "past" } else { "" };
                        (bar("cert", past, x(at), bottom - tall(month.others), step, tall(month.others)))
                        (bar("key", past, x(at), bottom - tall(month.others + month.keys), step, tall(month.keys)))
                    }
                }
            }
            @for at in 0..COUNT {
                @if let Some(text) = tick(at, present) {
                    line class="axis" x1=(px(x(at))) x2=(px(x(at))) y1=(bottom) y2=(bottom + 5.0) {}
                    @if at == COUNT - 1 {
                        text class="tick" x=(WIDTH - 4) y=(bottom + 16.0) text-anchor="end" { (text) }
                    } @else {
                        text class="tick" x=(px(x(at) + 3.0)) y=(bottom + 16.0) { (text) }
                    }
                }
            }
            line class="today" x1=(px(into_month)) x2=(px(into_month)) y1=(TOP - 8) y2=(bottom) {}
            text class="now" x=(px(into_month + 5.0)) y=(TOP - 8) dominant-baseline="middle" { "today, " (day(inventory.now)) }
            g {
                @let y = TOP + HEIGHT + 36;
                rect class="key" x=(LEFT) y=(y - 9) width="10" height="10" rx="2" {}
                text class="tick" x=(LEFT + 15) y=(y) { "with a private key" }
                rect class="cert" x=(LEFT + 140) y=(y - 9) width="10" height="10" rx="2" {}
                text class="tick" x=(LEFT + 155) y=(y) { "without" }
                rect class="past" x=(LEFT + 220) y=(y - 9) width="10" height="10" rx="2" {}
                text class="tick" x=(LEFT + 235) y=(y) { "ended" }
            }
        }
    }
}

fn bar(class: &str, past: &str, x: f64, y: f64, width: f64, height: f64) -> Markup {
    html! {
        @if height > 0.0 {
            rect class=(format!("{class} {past}")) x=(px(x + 1.5)) y=(px(y)) width=(px(width - 3.0)) height=(px(height)) rx="1.5" {}
        }
    }
}

fn px(n: f64) -> String {
    format!("{n:.1}")
}

fn count(month: &Month) -> String {
    let n = month.keys + month.others;
    if n == 1 { "1 certificate".to_owned() } else { format!("{n} certificates") }
}

/// Lines at round numbers.
fn grid(most: usize) -> Vec<usize> {
    let mut step = 1;
    while most / step > 4 {
        step *= if step.to_string().starts_with('2') { 5 } else { 2 };
        // 1, 2, 10, 20, 100: fives in between would crowd small pictures.
    }
    (0..=most / step).map(|n| n * step).collect()
}

/// Months since the year 0.
fn month_of(seconds: i64) -> i64 {
    let text = day(seconds);
    let mut parts = text.rsplitn(3, '-');
    parts.next();
    let month: i64 = parts.next().and_then(|m| m.parse().ok()).unwrap_or(1);
    let year: i64 = parts.next().and_then(|y| y.parse().ok()).unwrap_or(1970);
    year * 12 + month - 1
}

fn part_of_month(seconds: i64) -> f64 {
    let day: f64 = day(seconds).rsplit('-').next().and_then(|d| d.parse().ok()).unwrap_or(1.0);
    (day - 1.0) / 31.0
}

/// A month's name: `2027-03`, or what the ends gather.
fn label(at: usize, present: i64) -> String {
    match at {
        0 => "earlier".to_owned(),
        _ if at == COUNT - 1 => "later".to_owned(),
        _ => {
            let month = present + at as i64 - BEFORE as i64 - 1;
            format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
        }
    }
}

/// What stands under the axis: the ends, each year, each quarter.
fn tick(at: usize, present: i64) -> Option<String> {
    if at == 0 || at == COUNT - 1 {
        return (at == 0).then(|| "earlier".to_owned()).or(Some("later".to_owned()));
    }
    let month = present + at as i64 - BEFORE as i64 - 1;
    // No room beside the words at the ends.
    if !(4..=COUNT - 4).contains(&at) {
        return None;
    }
    match month.rem_euclid(12) {
        0 => Some(month.div_euclid(12).to_string()),
        3 | 6 | 9 => Some(
            ["Apr", "Jul", "Oct"].get(month.rem_euclid(12) as usize / 3 - 1).map_or("", |m| m).to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_grids() {
        assert_eq!(month_of(0), 1970 * 12);
        assert_eq!(label(BEFORE + 1, month_of(0)), "1970-01");
        assert_eq!(label(BEFORE, month_of(0)), "1969-12");
        assert_eq!(grid(1), [0, 1]);
        assert_eq!(grid(4), [0, 1, 2, 3, 4]);
        assert_eq!(grid(9), [0, 2, 4, 6, 8]);
        assert!(grid(1000).len() <= 6 && grid(100_000).len() <= 6);
    }
}
