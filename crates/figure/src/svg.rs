//! Just enough SVG: shapes and text with the few attributes that the figures use, escaped where they hold
//! text.

use std::fmt::Write as _;

use crate::WIDTH;
use crate::colour::INK;

/// Which side of its point a text lies on.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// On both sides.
    Middle,
    /// To the left of it.
    End,
}

/// A picture that is being written. Coordinates are pixels from its left upper corner.
#[derive(Debug)]
pub struct Svg {
    height: f64,
    body: String,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Which side of its point it lies on.
    pub anchor: Anchor,
    /// Height of the font in pixels.
    pub size: f64,
    /// As CSS writes it.
    pub colour: &'a str,
    /// Semi-bold.
    pub bold: bool,
}

impl Style<'_> {
    /// A label as most are: in the middle, 12 pixels.
    pub const LABEL: Style<'static> = Style { anchor: Anchor::Middle, size: 12.0, colour: INK, bold: false };

    /// The same on another side.
    pub fn at(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// The same in another size.
    pub fn size(self, size: f64) -> Self {
        Self { size, ..self }
    }

    /// The same, bold.
    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// The same in another colour.
    pub fn colour(self, colour: &str) -> Style<'_> {
        Style { colour, ..self }
    }
}

/// A coordinate: a tenth of a pixel is enough, and the same bytes come out on every machine.
fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    let short = text.strip_suffix(".0").unwrap_or(&text);
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

fn points(of: &[(f64, f64)]) -> String {
    let all: Vec<String> = of.iter().map(|(x, y)| format!("{},{}", coordinate(*x), coordinate(*y))).collect();
    all.join(" ")
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML 1.0 has no way to write these, not even escaped.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

impl Svg {
    /// An empty picture of this height and the width of all figures.
    pub fn new(height: f64) -> Self {
        Self { height, body: String::new() }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    /// A line; `dashes` as SVG's `stroke-dasharray`, empty for none.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dashes: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(coordinate);
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dashes}""#) };
        self.push(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"{dashes}/>"#
        ));
    }

    /// A line with an opacity, for edges that lie over each other.
    pub fn edge(&mut self, from: (f64, f64), to: (f64, f64), width: f64, opacity: f64) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(coordinate);
        self.push(format_args!(
            r##"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#6b7280" stroke-width="{width:.2}" stroke-opacity="{opacity:.2}"/>"##
        ));
    }

    /// A line through points.
    pub fn path(&mut self, of: &[(f64, f64)], colour: &str, width: f64) {
        let all = points(of);
        self.push(format_args!(
            r#"<polyline points="{all}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>"#
        ));
    }

    /// A filled shape without outline.
    pub fn area(&mut self, of: &[(f64, f64)], colour: &str, opacity: f64) {
        let all = points(of);
        self.push(format_args!(r#"<polygon points="{all}" fill="{colour}" fill-opacity="{opacity}"/>"#));
    }

    /// A filled shape with a thin outline.
    pub fn shape(&mut self, of: &[(f64, f64)], fill: &str) {
        let all = points(of);
        self.push(format_args!(
            r##"<polygon points="{all}" fill="{fill}" stroke="#ffffff" stroke-width="1.2"/>"##
        ));
    }

    /// A filled rectangle without outline.
    pub fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let [x, y, width, height] = [x, y, width, height].map(coordinate);
        self.push(format_args!(r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"/>"#));
    }

    /// An outline of a rectangle.
    pub fn frame(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        let [x, y, width, height] = [x, y, width, height].map(coordinate);
        self.push(format_args!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="none" stroke="{colour}"/>"#
        ));
    }

    /// A filled circle with an outline.
    pub fn circle(&mut self, at: (f64, f64), radius: f64, fill: &str, stroke: &str, width: f64) {
        let [x, y] = [at.0, at.1].map(coordinate);
        self.push(format_args!(
            r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}" stroke="{stroke}" stroke-width="{width}"/>"#
        ));
    }

    /// Text whose base line is at the point's height.
    pub fn text(&mut self, at: (f64, f64), style: Style<'_>, content: &str) {
        self.turned_text(at, style, content, false);
    }

    /// Text, on request turned to read upwards.
    pub fn turned_text(&mut self, at: (f64, f64), style: Style<'_>, content: &str, upwards: bool) {
        let [x, y] = [at.0, at.1].map(coordinate);
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if style.bold { r#" font-weight="600""# } else { "" };
        let turn = if upwards { format!(r#" transform="rotate(-90 {x} {y})""#) } else { String::new() };
        let (size, colour, content) = (style.size, style.colour, escaped(content));
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}{turn}>{content}</text>"#
        ));
    }

    /// The whole picture; `title` and `description` are for those who can't see it.
    pub fn finish(self, title: &str, description: &str) -> String {
        let (width, height) = (coordinate(WIDTH), coordinate(self.height));
        let (title, description, body) = (escaped(title), escaped(description), self.body);
        format!(
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" "#,
                r#"font-family="Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif">"#,
                "\n<title>{title}</title>\n<desc>{description}</desc>\n",
                r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##,
                "\n{body}</svg>\n"
            ),
            width = width,
            height = height,
            title = title,
            description = description,
            body = body
        )
    }
}

/// An upper estimate of a text's width in the fonts above, for placing it: the renderer's font is not known
/// here.
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}
