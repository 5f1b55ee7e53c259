//! A reasoning model's reply, piece by piece, into what it thinks and what it answers.
//!
//! Nothing is guessed: what has not the form that the model writes is told as a fault, and whoever wants to
//! know what came has the whole reply.

use crate::thinking_template::{CLOSE_ANSWER, CLOSE_THINKING, OPEN_ANSWER, OPEN_THINKING, ThinkingForm};

/// Why a reasoning model's reply is not what it thinks and one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatFault {
    /// The model ended its turn while it was thinking.
    UnclosedThinking,
    /// It ended its turn within its answer.
    UnclosedAnswer,
    /// Nothing stands where the answer should.
    NoAnswer,
    /// There is more than one answer.
    SeveralAnswers,
    /// Something stands neither in the thinking nor in the answer.
    TextOutside,
}

/// A part of a reply; all of a kind together are the whole without the space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyPart {
    /// Of what the model thinks.
    Thinking(String),
    /// Of its answer.
    Answer(String),
}

/// Where a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Thinking,
    /// Behind the thinking, before the answer's tag.
    Between,
    Answer,
    /// Behind the answer's tag.
    Behind,
}

/// Takes a reply apart at its tags, wherever the borders of its pieces lie.
#[derive(Debug)]
pub struct ReplySplitter {
    form: ThinkingForm,
    place: Place,
    /// What a tag may begin with.
    held: String,
    /// Space that is given only with what follows it.
    space: String,
    /// Whether this part has had any text.
    filled: bool,
    /// Whether the opening tag has come: a second one is text.
    opened: bool,
    fault: Option<FormatFault>,
}

impl ReplySplitter {
    /// A reply that begins with what the model thinks, with the opening tag or, where that stands in the
    /// prompt, without.
    pub fn new(form: ThinkingForm) -> Self {
        Self {
            form,
            place: Place::Thinking,
            held: String::new(),
            space: String::new(),
            filled: false,
            opened: false,
            fault: None,
        }
    }

    /// A reply whose thinking is closed, and whose answer is opened where it has a tag.
    pub fn behind_thinking(form: ThinkingForm) -> Self {
        Self { place: Place::Answer, ..Self::new(form) }
    }

    /// Whether the thinking is not closed yet.
    pub fn thinks(&self) -> bool {
        self.place == Place::Thinking
    }

    /// Whether what came last is the beginning of a closing tag.
    pub fn closes(&self) -> bool {
        self.held.starts_with("</")
    }

    /// Takes the next piece, gives what is known to be text.
    pub fn push(&mut self, text: &str) -> Vec<ReplyPart> {
        self.held.push_str(text);
        let mut parts = Vec::new();
        loop {
            let tags = self.tags();
            let found = tags.iter().filter_map(|tag| self.held.find(tag).map(|at| (at, *tag))).min();
            let Some((at, tag)) = found else {
                let possible = tags.iter().map(|tag| unfinished_length(&self.held, tag)).max().unwrap_or(0);
                let rest = self.held.split_off(self.held.len() - possible);
                let text = std::mem::replace(&mut self.held, rest);
                parts.extend(self.text(&text));
                return parts;
            };
            let rest = self.held.split_off(at + tag.len());
            let mut text = std::mem::replace(&mut self.held, rest);
            // The opening tag is one at the very beginning alone.
            if tag != OPEN_THINKING || text[..at].trim().is_empty() {
                text.truncate(at);
                parts.extend(self.text(&text));
                self.pass(tag);
            } else {
                parts.extend(self.text(&text));
            }
        }
    }

    /// The reply has ended; `cut` says whether not by the model, whose answer may then lack its end. Gives
    /// what is left, and what is wrong with the whole.
    pub fn finish(mut self, cut: bool) -> (Option<ReplyPart>, Option<FormatFault>) {
        let text = std::mem::take(&mut self.held);
        let last = self.text(&text);
        let tagged = self.form == ThinkingForm::ThinkAnswer;
        let fault = match self.place {
            Place::Thinking => Some(FormatFault::UnclosedThinking),
            Place::Answer if cut => None,
            Place::Answer if tagged => Some(FormatFault::UnclosedAnswer),
            Place::Answer | Place::Behind if self.filled => None,
            Place::Between | Place::Answer | Place::Behind => Some(FormatFault::NoAnswer),
        };
        (last, self.fault.or(fault))
    }

    /// Tags that mean something here.
    fn tags(&self) -> &'static [&'static str] {
        match (self.place, self.form) {
            (Place::Thinking, _) if self.opened || self.filled => &[CLOSE_THINKING],
            (Place::Thinking, _) => &[CLOSE_THINKING, OPEN_THINKING],
            (Place::Answer, ThinkingForm::Think) => &[],
            (Place::Answer, ThinkingForm::ThinkAnswer) => &[CLOSE_ANSWER, OPEN_ANSWER],
            (Place::Between | Place::Behind, _) => &[OPEN_ANSWER],
        }
    }

    fn pass(&mut self, tag: &str) {
        let tagged = self.form == ThinkingForm::ThinkAnswer;
        self.space.clear();
        match (tag, self.place) {
            (OPEN_THINKING, _) => self.opened = true,
            (CLOSE_THINKING, _) => {
                self.filled = false;
                self.place = if tagged { Place::Between } else { Place::Answer };
            }
            (OPEN_ANSWER, Place::Between) => self.place = Place::Answer,
            (CLOSE_ANSWER, _) => self.place = Place::Behind,
            // A second answer, be the first one closed or not.
            _ => {
                self.fault = Some(FormatFault::SeveralAnswers);
                self.place = Place::Behind;
            }
        }
    }

    fn text(&mut self, text: &str) -> Option<ReplyPart> {
        let inside = matches!(self.place, Place::Thinking | Place::Answer);
        if !inside {
            if !text.trim().is_empty() {
                self.fault.get_or_insert(FormatFault::TextOutside);
            }
            return None;
        }
        let text = if self.filled { text } else { text.trim_start() };
        let kept = text.trim_end();
        if kept.is_empty() {
            self.space.push_str(text);
            return None;
        }
        let mut whole = std::mem::take(&mut self.space);
        whole.push_str(kept);
        self.space.push_str(&text[kept.len()..]);
        self.filled = true;
        Some(if self.thinks() { ReplyPart::Thinking(whole) } else { ReplyPart::Answer(whole) })
    }
}

/// Bytes at the end of a text that a stop text may begin with.
pub fn unfinished_length(text: &str, stop: &str) -> usize {
    let longest = (stop.len() - 1).min(text.len());
    (1..=longest).rev().find(|&len| text.as_bytes().ends_with(&stop.as_bytes()[..len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Thinking, answer and fault of a reply that comes in these pieces.
    fn split<'p>(
        mut splitter: ReplySplitter,
        pieces: impl IntoIterator<Item = &'p str>,
        cut: bool,
    ) -> (String, String, Option<FormatFault>) {
        let mut parts: Vec<ReplyPart> = pieces.into_iter().flat_map(|piece| splitter.push(piece)).collect();
        let (last, fault) = splitter.finish(cut);
        parts.extend(last);
        let (mut thinking, mut answer) = (String::new(), String::new());
        for part in parts {
            match part {
                ReplyPart::Thinking(text) => thinking.push_str(&text),
                ReplyPart::Answer(text) => answer.push_str(&text),
            }
        }
        (thinking, answer, fault)
    }

    fn whole(form: ThinkingForm, reply: &str) -> (String, String, Option<FormatFault>) {
        split(ReplySplitter::new(form), [reply], false)
    }

    #[test]
    fn known_forms() {
        use ThinkingForm::{Think, ThinkAnswer};
        for (form, reply, thinking, answer) in [
            (Think, "<think>\nIt is red.\n</think>\n\nRed.", "It is red.", "Red."),
            (Think, "It is red.\n</think>\n\nRed.", "It is red.", "Red."),
            (Think, "</think>Red.", "", "Red."),
            (Think, "a <think> b</think>c</think>", "a <think> b", "c</think>"),
            (Think, "a</think><answer>b</answer>", "a", "<answer>b</answer>"),
            (ThinkAnswer, "<think>a</think><answer>b</answer>", "a", "b"),
            (ThinkAnswer, " <think> a\n </think>\n<answer>\nb c\n</answer>\n", "a", "b c"),
            (ThinkAnswer, "a <answer> x</think><answer>b</think></answer>", "a <answer> x", "b</think>"),
        ] {
            assert_eq!(whole(form, reply), (thinking.to_owned(), answer.to_owned(), None), "{reply}");
        }
    }

    #[test]
    fn what_has_no_known_form_is_told() {
        use FormatFault::{NoAnswer, SeveralAnswers, TextOutside, UnclosedAnswer, UnclosedThinking};
        use ThinkingForm::{Think, ThinkAnswer};
        for (form, reply, fault) in [
            (Think, "", UnclosedThinking),
            (Think, "<think>a</thin", UnclosedThinking),
            (Think, "<think>a</think>\n ", NoAnswer),
            (ThinkAnswer, "a", UnclosedThinking),
            (ThinkAnswer, "<think>a</think>", NoAnswer),
            (ThinkAnswer, "<think>a</think>b", TextOutside),
            (ThinkAnswer, "<think>a</think>b<answer>c</answer>", TextOutside),
            (ThinkAnswer, "<think>a</think><answer>b</answer> c", TextOutside),
            (ThinkAnswer, "<think>a</think><answer>b", UnclosedAnswer),
            (ThinkAnswer, "<think>a</think><answer> </answer>", NoAnswer),
            (ThinkAnswer, "<think>a</think><answer>b</answer><answer>c</answer>", SeveralAnswers),
            (ThinkAnswer, "<think>a</think><answer>b<answer>c</answer>", SeveralAnswers),
        ] {
            assert_eq!(whole(form, reply).2, Some(fault), "{reply}");
        }
    }

    #[test]
    fn an_answer_that_was_cut_is_the_beginning_of_one() {
        let cut = |reply| split(ReplySplitter::behind_thinking(ThinkingForm::ThinkAnswer), [reply], true);
        assert_eq!(cut("It is </ans"), (String::new(), "It is </ans".to_owned(), None));
    }

    /// Texts that are nearly tags.
    fn text() -> impl Strategy<Value = String> {
        "(<|>|</|think|answer|<thin|</answe|é| |\n|a){0,12}".prop_filter("no tag in it", |text| {
            [OPEN_THINKING, CLOSE_THINKING, OPEN_ANSWER, CLOSE_ANSWER].iter().all(|tag| !text.contains(tag))
        })
    }

    /// A text in pieces that end at these places.
    fn pieces<'t>(text: &'t str, cuts: &[usize]) -> Vec<&'t str> {
        let mut ends: Vec<usize> =
            cuts.iter().map(|cut| cut % (text.len() + 1)).filter(|at| text.is_char_boundary(*at)).collect();
        ends.push(text.len());
        ends.sort_unstable();
        let mut at = 0;
        ends.into_iter().map(|end| &text[std::mem::replace(&mut at, end)..end]).collect()
    }

    proptest! {
        #[test]
        fn no_text_is_lost_or_doubled_wherever_the_pieces_end(
            thinking in text(), answer in text(), opened in any::<bool>(), tagged in any::<bool>(),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let form = if tagged { ThinkingForm::ThinkAnswer } else { ThinkingForm::Think };
            let (open, close) = if tagged { (OPEN_ANSWER, CLOSE_ANSWER) } else { ("", "") };
            let opening = if opened { OPEN_THINKING } else { "" };
            let reply = format!("{opening}{thinking}{CLOSE_THINKING}{open}{answer}{close}");
            // The border of two texts may spell a tag too.
            let tags = |text: &str| [OPEN_THINKING, CLOSE_THINKING, OPEN_ANSWER, CLOSE_ANSWER]
                .iter().map(|tag| text.matches(tag).count()).sum::<usize>();
            prop_assume!(tags(&reply) == 1 + usize::from(opened) + 2 * usize::from(tagged));
            let fault = answer.trim().is_empty().then_some(FormatFault::NoAnswer);
            let expected = (thinking.trim().to_owned(), answer.trim().to_owned(), fault);
            prop_assert_eq!(split(ReplySplitter::new(form), pieces(&reply, &cuts), false), expected);
        }

        #[test]
        fn any_reply_is_taken_apart_alike_however_it_comes(
            reply in "(<think>|</think>|<answer>|</answer>|<|/|think>| |a|é){0,14}", tagged in any::<bool>(),
            cuts in prop::collection::vec(any::<usize>(), 0..12), cut in any::<bool>(),
        ) {
            let form = if tagged { ThinkingForm::ThinkAnswer } else { ThinkingForm::Think };
            let at_once = split(ReplySplitter::new(form), [reply.as_str()], cut);
            prop_assert_eq!(split(ReplySplitter::new(form), pieces(&reply, &cuts), cut), at_once);
        }
    }
}
