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

/// One system's curve.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const COLORS: [&str; 3] = ["#2563eb", "#d97706", "#16a34a"];

/// Curves on logarithmic scales, each point with its figure.
pub(crate) fn curves(title: &str, lines: &[Line]) -> String {
    const HEIGHT: f64 = 320.0;
    const EDGE: f64 = 50.0;
    let all = || lines.iter().flat_map(|it| &it.points);
    let x = Scale::over(all().map(|it| it.0), EDGE, WIDTH - EDGE);
    let y = Scale::over(all().map(|it| it.1), HEIGHT - EDGE, EDGE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{EDGE}\" y=\"18\">{title} (log scales)</text>\n"
    );
    for ((line, color), i) in lines.iter().zip(COLORS).zip(0_u8..) {
        let at: Vec<(f64, f64)> = line
            .points
            .iter()
            .map(|it| (x.of(it.0), y.of(it.1)))
            .collect();
        let path: Vec<String> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"18\" fill=\"{color}\">{}</text>",
            path.join(" "),
            WIDTH - 320.0 + 160.0 * f64::from(i),
            line.name,
        );
        for ((x, y), (at, value)) in at.iter().zip(&line.points) {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.3}</text>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{at:.0}</text>",
                y - 8.0,
                HEIGHT - 12.0,
            );
        }
    }
    svg + "</svg>\n"
}

/// A logarithmic scale.
#[derive(Clone, Copy, Debug)]
struct Scale {
    least: f64,
    span: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let logs = values.filter(|it| *it > 0.0).map(f64::log10);
        let (least, most) = logs.fold((f64::MAX, f64::MIN), |(least, most), it| {
            (least.min(it), most.max(it))
        });
        // One value alone has no span; nothing at all has no place either.
        let span = (most - least).max(1e-9);
        Self {
            least,
            span,
            from,
            to,
        }
    }

    fn of(self, value: f64) -> f64 {
        let part = (value.max(1e-9).log10() - self.least) / self.span;
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_goes_from_the_least_to_the_most() {
        let scale = Scale::over([1.0, 100.0].into_iter(), 0.0, 10.0);
        let near = |value: f64, at: f64| assert!((scale.of(value) - at).abs() < 1e-9);
        near(1.0, 0.0);
        near(10.0, 5.0);
        near(100.0, 10.0);
        // Nothing is drawn outside.
        near(0.0, 0.0);
    }
}
