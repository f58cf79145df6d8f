//! One self-contained page about quality. It opens offline: no address is fetched and no script runs; every text is escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wire::query::{GetQualityHistoryResponse, GetQualityResponse, Quality};

use super::measure::{CRITERIA, Colour, command, faults, least, trend, trend_text, value, value_before};
use crate::answers::time_of;
use crate::commands::findings::Criterion;
use crate::config::Quality as Bounds;

/// The page around its parts.
const PAGE: &str = include_str!("page.html");
/// Colours of the curves' lines, by register in the order of their names.
const LINES: usize = 8;
/// Size of a curve.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 150.0;

/// What the page shows.
pub(super) struct Page<'a> {
    pub(super) registers: &'a GetQualityResponse,
    pub(super) agencies: &'a GetQualityResponse,
    pub(super) communes: &'a GetQualityResponse,
    pub(super) history: &'a GetQualityHistoryResponse,
    pub(super) worst: usize,
    pub(super) bounds: &'a Bounds,
    pub(super) at: jiff::Timestamp,
}

impl Page<'_> {
    /// The page.
    pub(super) fn html(&self) -> String {
        let compared = match &self.registers.compared_at {
            Some(_) => format!("Changes are against {}.", time_of(self.registers.compared_at.as_ref())),
            None => "There is no earlier sample to compare with yet.".to_owned(),
        };
        let at = jiff::Timestamp::from_second(self.at.as_second()).unwrap_or(self.at);
        PAGE.replace("{{at}}", &escape(&at.to_string()))
            .replace("{{compared}}", &escape(&compared))
            .replace("{{green}}", &self.green())
            .replace("{{cards}}", &self.cards())
            .replace("{{curves}}", &self.curves())
            .replace("{{agencies}}", &self.table(self.agencies, "agency", |row| &row.agency))
            .replace("{{communes}}", &self.table(self.communes, "commune", |row| &row.commune))
    }

    /// From which value on a measure is green; below it, yellow goes down by the same for all.
    fn green(&self) -> String {
        let mins = CRITERIA.map(|criterion| (criterion, Colour::green_from(criterion, self.bounds)));
        if mins.iter().all(|(_, min)| *min == mins[0].1) {
            return format!("from {} on", percent(mins[0].1));
        }
        let each = mins.map(|(criterion, min)| format!("{} from {}", criterion.name(), percent(min)));
        each.join(", ")
    }

    /// A card per register: four bars.
    fn cards(&self) -> String {
        if self.registers.rows.is_empty() {
            return "<p class=\"soft\">No register has published a record yet.</p>".to_owned();
        }
        let mut out = String::new();
        for row in &self.registers.rows {
            let register = escape(&row.register);
            let _infallible = write!(
                out,
                "<article class=\"card\"><h3>{register}</h3><p class=\"soft\">{} records</p>",
                grouped(row.records)
            );
            for criterion in CRITERIA {
                out.push_str(&self.bar(row, criterion));
            }
            out.push_str("</article>");
        }
        out
    }

    fn bar(&self, row: &Quality, criterion: Criterion) -> String {
        let name = title(criterion);
        let Some(value) = value(row, criterion) else {
            return format!(
                "<div class=\"bar\"><span>{name}</span><span class=\"soft\">nothing to measure against</span></div>"
            );
        };
        let colour = Colour::of(value, criterion, self.bounds).name();
        let change = trend(row, criterion).map(arrow).unwrap_or_default();
        let (count, what) = faults(row, criterion);
        let see = match count {
            0 => "<span class=\"none\">nothing at fault</span>".to_owned(),
            count => format!(
                "<details><summary>{} {what} at fault</summary><code>{}</code></details>",
                grouped(count),
                escape(&command(row, criterion))
            ),
        };
        format!(
            "<div class=\"bar\"><span>{name}</span><span class=\"num\"><b class=\"{colour}\">{}</b> {change}</span>\
             <svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}: {}, {colour}\">\
             <rect class=\"track\" width=\"100\" height=\"6\"/><rect class=\"fill-{colour}\" width=\"{:.2}\" height=\"6\"/></svg>{see}</div>",
            percent(value),
            percent(value),
            value * 100.0
        )
    }

    /// A curve per measure, a line per register.
    fn curves(&self) -> String {
        let points = &self.history.points;
        let times: Vec<i64> = points.iter().filter_map(|p| p.at.as_ref()).map(|at| at.seconds).collect();
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
            return "<p class=\"soft\">The hub keeps a sample each hour once there are records.</p>".to_owned();
        };
        if first == last {
            return "<p class=\"soft\">The curves begin with the next sample: the hub keeps one each hour.</p>"
                .to_owned();
        }
        let mut registers: Vec<&str> = points.iter().map(|point| point.register.as_str()).collect();
        registers.sort_unstable();
        registers.dedup();
        let mut out = String::from("<div class=\"curves\">");
        for criterion in CRITERIA {
            let _infallible = write!(out, "<figure><figcaption>{}</figcaption>", title(criterion));
            out.push_str(&self.curve(criterion, &registers, (*first, *last)));
            out.push_str("</figure>");
        }
        out.push_str("</div><p class=\"legend\">");
        for (at, register) in registers.iter().enumerate() {
            let _infallible = write!(out, "<span class=\"line-{}\">{}</span> ", at % LINES, escape(register));
        }
        out.push_str("</p>");
        out
    }

    fn curve(&self, criterion: Criterion, registers: &[&str], (first, last): (i64, i64)) -> String {
        let mut lines: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        let mut least = 1.0_f64;
        for point in &self.history.points {
            let measured = point.measures.as_ref().and_then(|measures| value_before(measures, criterion));
            let (Some(value), Some(at)) = (measured, &point.at) else { continue };
            let register = registers.binary_search(&point.register.as_str()).unwrap_or_default();
            let x = (at.seconds - first) as f64 / (last - first) as f64;
            least = least.min(value);
            lines.entry(register).or_default().push((x, value));
        }
        if lines.is_empty() {
            return "<p class=\"soft\">nothing to measure against</p>".to_owned();
        }
        // From below the worst value, in steps of 5 %, so that a change is seen.
        let from = (((least - 0.02) * 20.0).floor() / 20.0).clamp(0.0, 0.95);
        let (left, right, top, bottom) = (54.0, WIDTH - 10.0, 8.0, HEIGHT - 22.0);
        let y = |value: f64| bottom - (value - from) / (1.0 - from) * (bottom - top);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} over time, from {} to 100 %\">",
            title(criterion),
            percent(from)
        );
        for value in [from, (from + 1.0) / 2.0, 1.0] {
            let at = y(value);
            let _infallible = write!(
                out,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 5.0,
                at + 4.0,
                percent(value)
            );
        }
        for (at, anchor, x) in [(first, "start", left), (last, "end", right)] {
            let day = jiff::Timestamp::from_second(at).map(|at| at.to_string()).unwrap_or_default();
            let hour = day.get(..16).unwrap_or_default().replace('T', " ");
            let _infallible =
                write!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{hour}</text>", HEIGHT - 6.0);
        }
        for (register, points) in lines {
            let place = |(x, value): &(f64, f64)| format!("{:.1},{:.1}", left + x * (right - left), y(*value));
            let places: Vec<String> = points.iter().map(place).collect();
            let _infallible = write!(
                out,
                "<polyline class=\"line-{}\" points=\"{}\"><title>{}</title></polyline>",
                register % LINES,
                places.join(" "),
                escape(registers[register])
            );
        }
        out.push_str("</svg>");
        out
    }

    /// The worst rows, each with the command that lists what is behind its worst measure.
    fn table(&self, answer: &GetQualityResponse, what: &str, name: impl Fn(&Quality) -> &String) -> String {
        let mut rows: Vec<(&Quality, Criterion, f64)> = answer
            .rows
            .iter()
            .filter(|row| !name(row).is_empty())
            .filter_map(|row| least(row).map(|(criterion, value)| (row, criterion, value)))
            .collect();
        rows.sort_by(|a, b| a.2.total_cmp(&b.2).then_with(|| b.0.records.cmp(&a.0.records)));
        let all = rows.len();
        rows.truncate(self.worst);
        if rows.is_empty() {
            return format!("<p class=\"soft\">No record names its {what}.</p>");
        }
        let shown = if rows.len() < all {
            format!("The {} worst of {}.", rows.len(), grouped(all as u64))
        } else {
            "The worst first.".to_owned()
        };
        // Wider than a phone: it scrolls by itself, also by the keyboard.
        let mut out = format!(
            "<p class=\"soft\">{shown}</p><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"by {what}\"><table><thead><tr>\
             <th scope=\"col\">register</th><th scope=\"col\">{what}</th><th scope=\"col\" class=\"num\">records</th>"
        );
        for criterion in CRITERIA {
            let _infallible = write!(out, "<th scope=\"col\" class=\"num\">{}</th>", title(criterion));
        }
        out.push_str("<th scope=\"col\">the faulty records behind the worst</th></tr></thead><tbody>");
        for (row, worst, _) in rows {
            let _infallible = write!(
                out,
                "<tr><td>{}</td><td>{}</td><td class=\"num\">{}</td>",
                escape(&row.register),
                escape(name(row)),
                grouped(row.records)
            );
            for criterion in CRITERIA {
                out.push_str(&match value(row, criterion) {
                    None => "<td class=\"num soft\">-</td>".to_owned(),
                    Some(value) => format!(
                        "<td class=\"num\"><b class=\"{}\">{}</b> {}</td>",
                        Colour::of(value, criterion, self.bounds).name(),
                        percent(value),
                        trend(row, criterion).map(arrow).unwrap_or_default()
                    ),
                });
            }
            let _infallible = write!(out, "<td><code>{}</code></td></tr>", escape(&command(row, worst)));
        }
        out.push_str("</tbody></table></div>");
        out
    }
}

/// A measure in English and in the words of the national campaign.
fn title(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::Correct => "correct · đúng",
        Criterion::Sufficient => "sufficient · đủ",
        Criterion::Clean => "clean · sạch",
        Criterion::Alive => "alive · sống",
    }
}

fn percent(value: f64) -> String {
    format!("{:.1} %", value * 100.0)
}

/// A trend in percentage points.
fn arrow(trend: f64) -> String {
    let text = trend_text(trend);
    let (sign, class) = match text.as_bytes().first() {
        Some(b'+') => ("▲", "up"),
        Some(b'-') => ("▼", "down"),
        _ => return "<small class=\"soft\">=</small>".to_owned(),
    };
    format!("<small class=\"{class}\">{sign} {}</small>", text.trim_start_matches(['+', '-']))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A text may hold the mark of another part.
            '{' => out.push_str("&#123;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use wire::query::{QualityBefore, QualityPoint};

    use super::*;

    fn row(register: &str, commune: &str, clean: f64) -> Quality {
        Quality {
            register: register.into(),
            commune: commune.into(),
            records: 12_345,
            clean: Some(clean),
            counters: [("violated".to_owned(), 7)].into(),
            ..Quality::default()
        }
    }

    fn page(communes: Vec<Quality>, points: Vec<QualityPoint>) -> String {
        let answer = |rows| GetQualityResponse { rows, compared_at: None };
        Page {
            registers: &answer(vec![row("civil", "", 0.99), row("land", "", 0.5)]),
            agencies: &answer(vec![]),
            communes: &answer(communes),
            history: &GetQualityHistoryResponse { points },
            worst: 2,
            bounds: &Bounds::default(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
        .html()
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_escapes_what_it_is_told() {
        let html = page(vec![row("land", "<script>{{cards}}", 0.1)], vec![]);
        assert!(!html.contains("<script") && !html.contains("http") && !html.contains("{{"), "{html}");
        assert!(html.contains("&lt;script&gt;&#123;&#123;cards}}"));
        assert!(
            html.contains("7 records at fault</summary><code>hub findings --register civil --criterion clean</code>")
        );
        assert!(html.contains("12\u{202f}345 records") && html.contains("from 90.0 % on"));
    }

    #[test]
    fn the_worst_communes_come_first_and_no_more_than_were_asked_for() {
        let communes = vec![row("land", "00009", 0.9), row("land", "00004", 0.2), row("land", "00001", 0.6)];
        let html = page(communes, vec![]);
        let place = |text: &str| html.find(text);
        assert!(place("<td>00004</td>") < place("<td>00001</td>") && place("<td>00009</td>").is_none());
        assert!(html.contains("The 2 worst of 3.") && html.contains("aria-label=\"by commune\""));
        assert!(html.contains("hub findings --register land --criterion clean --commune 00004"));
    }

    #[test]
    fn two_samples_make_a_curve() {
        let point = |seconds, clean| QualityPoint {
            at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            register: "civil".into(),
            measures: Some(QualityBefore { clean: Some(clean), ..QualityBefore::default() }),
        };
        assert!(!page(vec![], vec![point(0, 0.9)]).contains("<polyline"));
        let html = page(vec![], vec![point(0, 0.9), point(3_600, 0.95)]);
        assert_eq!(html.matches("<polyline").count(), 1);
        assert!(html.contains("1970-01-01 01:00"));
    }
}
