//! Rust source as tokens: enough of the language to find paths, items and attributes, without its comments.

/// One token and the line it begins on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword.
    Ident(String),
    /// The content of a string literal, escapes left as they are.
    Text(String),
    /// `::`
    Colons,
    /// Any other character that means something; numbers and lifetimes are left out.
    Sign(char),
}

impl Token {
    /// The identifier's letters.
    pub(crate) fn ident(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    /// Whether this is that one character.
    pub(crate) fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// The tokens of a source file.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let from = i;
        let begun = line;
        let mut kind = None;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = after_block_comment(&chars, i),
            '"' => {
                i = after_text(&chars, i);
                kind = Some(Kind::Text(content(&chars, from + 1, i - 1)));
            }
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => {
                i += 1;
                while word(at(i)) {
                    i += 1;
                }
            }
            c if c.is_ascii_digit() => {
                while word(at(i)) || at(i) == '.' && at(i + 1).is_ascii_digit() {
                    i += 1;
                }
            }
            c if word(c) => {
                while word(at(i)) {
                    i += 1;
                }
                let name = content(&chars, from, i);
                // r"…", r#"…"#, b"…", br"…", c"…"; and raw identifiers.
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                let raw = matches!(name.as_str(), "r" | "br" | "cr");
                if raw && at(i + hashes) == '"' {
                    let begin = i + hashes + 1;
                    i = after_raw_text(&chars, begin, hashes);
                    kind = Some(Kind::Text(content(&chars, begin, i - 1 - hashes)));
                } else if matches!(name.as_str(), "b" | "c") && at(i) == '"' {
                    let begin = i + 1;
                    i = after_text(&chars, i);
                    kind = Some(Kind::Text(content(&chars, begin, i - 1)));
                } else if name == "r" && hashes == 1 {
                    i += 1;
                } else {
                    kind = Some(Kind::Ident(name));
                }
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                kind = Some(Kind::Colons);
            }
            c => {
                i += 1;
                kind = (!c.is_whitespace()).then_some(Kind::Sign(c));
            }
        }
        line += chars[from..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
        found.extend(kind.map(|kind| Token { line: begun, kind }));
    }
    found
}

fn content(chars: &[char], from: usize, to: usize) -> String {
    let to = to.min(chars.len());
    chars[from.min(to)..to].iter().collect()
}

fn after_block_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    break;
                }
            }
            _ => i += 1,
        }
    }
    i
}

/// `i` is at the opening quote.
fn after_text(chars: &[char], mut i: usize) -> usize {
    i += 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// `i` is behind the opening quote.
fn after_raw_text(chars: &[char], mut i: usize, hashes: usize) -> usize {
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idents(source: &str) -> Vec<String> {
        tokens(source).iter().filter_map(|token| token.ident().map(str::to_owned)).collect()
    }

    #[test]
    fn comments_and_texts_are_no_code() {
        assert_eq!(idents("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
        assert_eq!(idents(r##"a "b \" c" r#"d "e" f"# b"g" h"##), ["a", "h"]);
        assert_eq!(idents(r"a 'b' '\'' 'c: d '\u{1F}' e"), ["a", "d", "e"]);
        assert_eq!(idents("1.5f32 0x1F 1..n x.0.y"), ["n", "x", "y"]);
    }

    #[test]
    fn lines_are_counted() {
        let found = tokens("a\n\"x\ny\"\n  b::c");
        let lines: Vec<usize> = found.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 4, 4, 4]);
        assert_eq!(found[1].kind, Kind::Text("x\ny".to_owned()));
        assert_eq!(found[3].kind, Kind::Colons);
    }
}
