//! Bars of ratios as SVG: one row each, the aim marked.

use std::fmt::Write;

use crate::compare::Row;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 380.0;
const RIGHT: f64 = 70.0;
const LINE: f64 = 24.0;

/// Each figure as so many times Kafka's, on a logarithmic scale: 1 is as good, to the right is better.
pub(crate) fn ratios(rows: &[Row]) -> String {
    let better = |row: &Row, ratio: f64| {
        if row.figure.is_gain() {
            ratio
        } else {
            1.0 / ratio
        }
    };
    let shown: Vec<(&Row, f64)> = rows
        .iter()
        .filter_map(|row| Some((row, better(row, row.ratio?[0]))))
        .collect();
    let values = shown.iter().map(|(_, it)| it.log10().abs());
    let span = values.fold(1.0_f64, f64::max);
    let x = |value: f64| LEFT + f64::midpoint(value.log10() / span, 1.0) * (WIDTH - LEFT - RIGHT);
    let height = LINE * f64::from(u32::try_from(shown.len()).unwrap_or(0) + 2);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"16\">times better than Kafka (log scale; line: equal; mark: aim)</text>\n"
    );
    let one = x(1.0);
    let _ = writeln!(
        svg,
        "<line x1=\"{one:.1}\" x2=\"{one:.1}\" y1=\"{LINE}\" y2=\"{height}\" stroke=\"#888\"/>"
    );
    for (i, (row, value)) in (1..).zip(&shown) {
        let top = LINE * f64::from(i);
        let (from, to) = (x(value.min(1.0)), x(value.max(1.0)));
        let color = if row.is_met() == Some(false) {
            "#d97706"
        } else {
            "#2563eb"
        };
        let (text_y, label) = (
            top + 16.0,
            format!("{}: {}", row.load.title, row.figure.name()),
        );
        let _ = writeln!(svg, "<text x=\"6\" y=\"{text_y}\">{label}</text>");
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" fill=\"{color}\"/>",
            top + 4.0,
            (to - from).max(1.0)
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{text_y}\">{value:.1}</text>",
            to + 4.0
        );
        if let Some(aim) = row.aim {
            let at = x(better(row, aim));
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{:.1}\" stroke=\"black\" stroke-width=\"2\"/>",
                top + LINE - 2.0
            );
        }
    }
    svg + "</svg>\n"
}
