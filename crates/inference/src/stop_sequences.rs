//! Texts that end a reply, wherever the tokens' borders lie.

use std::collections::VecDeque;

use reasonedit_models::prompt::unfinished_length;

use crate::request::TokenChoice;

/// A piece of a reply as the engine sends it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplyPiece {
    /// The text.
    pub text: String,
    /// Of its tokens, in nats.
    pub log_likelihood: f64,
    /// Its tokens one by one, where they were asked for.
    pub choices: Vec<TokenChoice>,
}

/// Lets pieces through as far as no stop text can begin in them, and ends at the first that comes.
#[derive(Debug)]
pub struct StopFilter<'a> {
    stops: &'a [String],
    held: VecDeque<ReplyPiece>,
    /// The held pieces' text.
    text: String,
}

impl<'a> StopFilter<'a> {
    /// `stops` are not empty texts.
    pub fn new(stops: &'a [String]) -> Self {
        Self { stops, held: VecDeque::new(), text: String::new() }
    }

    /// Takes the next piece. Gives what may be shown, and whether a stop text has come: what is shown then
    /// ends before it.
    pub fn push(&mut self, piece: ReplyPiece) -> (Vec<ReplyPiece>, bool) {
        if self.stops.is_empty() {
            return (vec![piece], false);
        }
        self.text.push_str(&piece.text);
        self.held.push_back(piece);
        if let Some(end) = first(&self.text, self.stops) {
            return (self.cut(end), true);
        }
        let possible = self.stops.iter().map(|stop| unfinished_length(&self.text, stop)).max().unwrap_or(0);
        (self.release(self.text.len() - possible), false)
    }

    /// What was held back, when nothing more comes.
    pub fn finish(&mut self) -> Vec<ReplyPiece> {
        self.release(self.text.len())
    }

    /// Whole pieces that end before `safe`.
    fn release(&mut self, safe: usize) -> Vec<ReplyPiece> {
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(piece) = self.held.pop_front() {
            if at + piece.text.len() > safe {
                self.held.push_front(piece);
                break;
            }
            at += piece.text.len();
            out.push(piece);
        }
        self.text.drain(..at);
        out
    }

    /// All before `end`; the piece that it lies in is shown in part.
    fn cut(&mut self, end: usize) -> Vec<ReplyPiece> {
        let mut out = self.release(end);
        let left = end - out.iter().map(|piece| piece.text.len()).sum::<usize>();
        if let Some(mut piece) = self.held.pop_front().filter(|_| left > 0) {
            piece.text.truncate(left);
            out.push(piece);
        }
        self.held.clear();
        self.text.clear();
        out
    }
}

/// Where the stop text begins that is complete first: of all, the one at which a reply letter by letter would
/// have ended.
fn first(text: &str, stops: &[String]) -> Option<usize> {
    let found = stops.iter().filter_map(|stop| text.find(stop.as_str()).map(|at| (at + stop.len(), at)));
    found.min().map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(text: &str) -> ReplyPiece {
        ReplyPiece { text: text.to_owned(), log_likelihood: -1.0, choices: Vec::new() }
    }

    /// What is shown of a reply in pieces, piece by piece, and whether it was stopped.
    fn shown(pieces: &[&str], stops: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut filter = StopFilter::new(&stops);
        let mut out = Vec::new();
        for text in pieces {
            let (pieces, stopped) = filter.push(piece(text));
            out.extend(pieces.into_iter().map(|piece| piece.text));
            if stopped {
                return (out, true);
            }
        }
        out.extend(filter.finish().into_iter().map(|piece| piece.text));
        (out, false)
    }

    #[test]
    fn a_stop_text_is_found_across_pieces() {
        assert_eq!(shown(&["a ", "st", "op", " b"], &["stop"]), (vec!["a ".into()], true));
        assert_eq!(
            shown(&["a s", "to", "ne"], &["stop"]),
            (vec!["a s".into(), "to".into(), "ne".into()], false)
        );
        assert_eq!(shown(&["a é", "ê"], &["ê", "zz"]), (vec!["a é".into()], true));
        assert_eq!(shown(&["one\n", "\ntwo"], &["\n\n"]), (vec!["one".into()], true));
        assert_eq!(shown(&["stop"], &["stop"]), (vec![], true));
        assert_eq!(shown(&["so"], &["stop"]), (vec!["so".into()], false));
        assert_eq!(shown(&["bba", "é"], &["a", "baé"]), (vec!["bb".into()], true));
        assert_eq!(
            shown(&["bbaé"], &["a", "baé"]),
            (vec!["bb".into()], true),
            "borders of pieces change nothing"
        );
    }

    #[test]
    fn what_can_be_no_stop_is_shown_at_once() {
        let stops = vec!["END".to_owned()];
        let mut filter = StopFilter::new(&stops);
        assert_eq!(filter.push(piece("far")).0.len(), 1);
        assert_eq!(filter.push(piece("E")).0.len(), 0);
        assert_eq!(filter.push(piece("x")).0.len(), 2);
    }

    proptest! {
        #[test]
        fn it_equals_cutting_the_whole_text(
            pieces in prop::collection::vec("[abé]{0,3}", 0..12),
            stops in prop::collection::vec("[abé]{1,4}", 0..3),
        ) {
            let texts: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            let letters: Vec<usize> = whole.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
            let mut so_far = letters.iter().map(|&end| &whole[..end]);
            let end = so_far.find_map(|text| {
                let ends = stops.iter().filter(|stop| text.ends_with(*stop)).map(|stop| text.len() - stop.len());
                ends.min()
            });
            let (out, stopped) = shown(&texts, &stops.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(out.concat(), &whole[..end.unwrap_or(whole.len())]);
            prop_assert_eq!(stopped, end.is_some());
        }
    }
}
