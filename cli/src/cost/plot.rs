//! Cost over guesses, as an SVG: one line for each kind of guess, for an attacker who rents one graphics card.

use std::fmt::Write;

use countersign::dictionary::cost::{ATTACKERS, DICTIONARIES};

use super::measure::{Row, Worth};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 560.0;
/// Room around the drawing: for numbers to the left and names to the right.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 370.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 60.0;

/// Powers of ten at the ends of both axes: guesses, and US$.
const GUESSES: (f64, f64) = (2.0, 19.0);
const DOLLARS: (f64, f64) = (-4.0, 12.0);

/// Least distance between two names.
const NAME_HEIGHT: f64 = 15.0;

/// Told apart by people with any kind of colour vision (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

struct Curve {
    names: Vec<String>,
    /// The greater part of the first one's work.
    work: String,
    /// US$ for one guess.
    price: f64,
}

/// The picture, for the rows in which guesses can be tested.
pub(crate) fn svg(rows: &[Row]) -> String {
    let curves = curves(rows);
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">What it costs to try so many passwords offline</text>\n\
         <text x=\"{LEFT}\" y=\"42\" fill=\"#555\">one rented RTX 4090 at ${:.2} an hour; CPace, SPAKE2+, OPAQUE and \
         SRP exchanges have no line: nothing can be tested</text>\n",
        ATTACKERS[0].dollars_per_hour()
    );
    axes(&mut svg);
    let mut names = Vec::new();
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let (start, end) = ends(curve.price);
        let _ = writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            x(start.0),
            y(start.1),
            x(end.0),
            y(end.1)
        );
        // At the right edge, or above it where the line leaves through the top.
        names.push((y(end.1), x(end.0), colour, curve.name()));
    }
    labels(&mut svg, names);
    svg.push_str("</svg>\n");
    svg
}

/// Rows of nearly one price share a line.
fn curves(rows: &[Row]) -> Vec<Curve> {
    const NEARLY: f64 = 1.02;
    let mut curves = Vec::<Curve>::new();
    for row in rows {
        let Worth::Guesses { work, .. } = &row.worth else { continue };
        let price = ATTACKERS[0].dollars(1.0 / ATTACKERS[0].rate(work));
        let name = format!("{} ({})", row.mechanism, row.situation);
        let near = curves.iter_mut().find(|curve| (price / curve.price).ln().abs() < NEARLY.ln());
        match near {
            Some(curve) => curve.names.push(name),
            None => {
                let work = work.to_string();
                let work = work.split(" + ").next().unwrap_or_default().to_owned();
                curves.push(Curve { names: vec![name], work, price });
            }
        }
    }
    curves.sort_by(|a, b| b.price.total_cmp(&a.price));
    curves
}

impl Curve {
    /// The first name, and its work or how many there are beside it.
    fn name(&self) -> String {
        match &self.names[..] {
            [first, _, ..] => format!("{first} and {} more", self.names.len() - 1),
            _ => format!("{}: {}", self.names[0], self.work),
        }
    }
}

/// Where the line of a price enters and leaves the drawing, as powers of ten.
fn ends(price: f64) -> ((f64, f64), (f64, f64)) {
    let price = price.log10();
    let start = GUESSES.0.max(DOLLARS.0 - price);
    let end = GUESSES.1.min(DOLLARS.1 - price);
    ((start, start + price), (end, end + price))
}

fn axes(svg: &mut String) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for power in (GUESSES.0 as i32)..=(GUESSES.1 as i32) {
        let at = x(f64::from(power));
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#eee\"/>"
        );
        if power % 2 == 0 {
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">10<tspan dy=\"-5\" font-size=\"9\">{power}</tspan></text>",
                bottom + 18.0
            );
        }
    }
    for power in (DOLLARS.0 as i32)..=(DOLLARS.1 as i32) {
        let at = y(f64::from(power));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#eee\"/>"
        );
        if power % 2 == 0 {
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">$10<tspan dy=\"-5\" font-size=\"9\">{power}</tspan></text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
    }
    for dictionary in &DICTIONARIES {
        let at = x(dictionary.guesses.log10());
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#999\" stroke-dasharray=\"3 3\"/>\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#555\" transform=\"rotate(-90 {:.1} {})\">{}</text>",
            at - 4.0,
            TOP + 62.0,
            at - 4.0,
            TOP + 62.0,
            dictionary.name
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">guesses; dashed: a list of that many, or random passwords of so many bits</text>",
        (LEFT + right) / 2.0,
        bottom + 42.0
    );
}

/// Each name beside the end of its line, moved down where two would touch.
fn labels(svg: &mut String, mut names: Vec<(f64, f64, &str, String)>) {
    names.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut free = TOP;
    for (at, line_end, colour, name) in names {
        let place = at.max(free);
        free = place + NAME_HEIGHT;
        let beside = WIDTH - RIGHT + 14.0;
        let _ = writeln!(
            svg,
            "<polyline points=\"{line_end:.1},{at:.1} {:.1},{place:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"0.7\"/>\
             <text x=\"{beside}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            beside - 3.0,
            place + 4.0
        );
    }
}

fn x(power: f64) -> f64 {
    LEFT + (power - GUESSES.0) / (GUESSES.1 - GUESSES.0) * (WIDTH - LEFT - RIGHT)
}

fn y(power: f64) -> f64 {
    HEIGHT - BOTTOM - (power - DOLLARS.0) / (DOLLARS.1 - DOLLARS.0) * (HEIGHT - TOP - BOTTOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_the_drawing() {
        for price in [1e-16, 1e-9, 1e-5, 1.0, 1e6] {
            let (start, end) = ends(price);
            for (guesses, dollars) in [start, end] {
                assert!((GUESSES.0..=GUESSES.1).contains(&guesses), "{price}");
                assert!((DOLLARS.0 - 1e-9..=DOLLARS.1 + 1e-9).contains(&dollars), "{price} {dollars}");
            }
        }
    }
}
