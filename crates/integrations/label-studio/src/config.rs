//! Settings of the integration.

use reasonedit_http::outbound::{self, Reach};
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// How a project of Label Studio is read, and where its pictures come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelStudioConfig {
    /// Where Label Studio is reached from here, `http` or `https`. Pictures that lie there are asked for at
    /// this address and nowhere else; the name that Label Studio gives itself is never connected to. `None`:
    /// such pictures can't be read.
    pub url: Option<String>,
    /// A token of Label Studio: a legacy one, or a personal access token. `None`: the one that Label Studio
    /// hands over at setup. Sent to `url` alone.
    pub token: Option<String>,
    /// Codebook of the projects that name none (`{"codebook": "ward-3"}` in the extra parameters of their
    /// backend).
    pub codebook: String,
    /// Name of the image tag; without one so named the first image.
    pub image: String,
    /// Key of the question in a task's data; without it the first text or header shown with the picture.
    pub question: String,
    /// Name of the choices or the text area with the answer; without one so named the first choices, else the
    /// first other text area.
    pub answer: String,
    /// Name of the text area with the reasoning: annotations without it are not learned from.
    pub rationale: String,
    /// Name of the rectangles with the evidence; without one so named the first rectangles on the image.
    pub evidence: String,
    /// Look for the facts used on the asked picture too, and draw where the model sees them. Costs as much as
    /// the search for evidence of an edit.
    pub locate_evidence: bool,
    /// Milliseconds for all tasks of one request; what is not answered by then is left for the next request.
    /// Label Studio hangs up after 100 s.
    pub predict_ms: u64,
    /// Annotations that wait to become edits; beyond it they are refused with 503, and Label Studio does not
    /// send them again.
    pub waiting: usize,
}

impl Default for LabelStudioConfig {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            codebook: "default".to_owned(),
            image: "image".to_owned(),
            question: "question".to_owned(),
            answer: "answer".to_owned(),
            rationale: "rationale".to_owned(),
            evidence: "evidence".to_owned(),
            locate_evidence: true,
            predict_ms: 90_000,
            waiting: 1000,
        }
    }
}

impl LabelStudioConfig {
    /// The first unusable setting, with what is wrong with it.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        if let Some(url) = &self.url
            && base_of(url).is_none()
        {
            return Some((
                "label_studio.url",
                format!("`{url}` is not an address such as http://127.0.0.1:8080"),
            ));
        }
        if self.token.as_ref().is_some_and(|token| !is_token(token)) {
            return Some(("label_studio.token", "a token is visible ASCII without spaces".to_owned()));
        }
        if self.codebook.parse::<reasonedit_editor::CodebookName>().is_err() {
            return Some(("label_studio.codebook", format!("`{}` is not a codebook's name", self.codebook)));
        }
        let names = [
            ("label_studio.image", &self.image),
            ("label_studio.question", &self.question),
            ("label_studio.answer", &self.answer),
            ("label_studio.rationale", &self.rationale),
            ("label_studio.evidence", &self.evidence),
        ];
        if let Some((field, _)) = names.into_iter().find(|(_, name)| name.trim().is_empty()) {
            return Some((field, "must not be empty".to_owned()));
        }
        if self.predict_ms == 0 {
            return Some(("label_studio.predict_ms", "must be above zero".to_owned()));
        }
        (self.waiting == 0).then(|| ("label_studio.waiting", "must be above zero".to_owned()))
    }
}

/// The configured address with a path that ends in `/`; `None` if it is none, or says more than an address.
pub(super) fn base_of(text: &str) -> Option<Url> {
    let mut url = outbound::check(text, Reach::Anywhere).ok()?;
    let named = url.host_str().is_some_and(|host| !host.is_empty());
    if !named || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

/// Whether a text can be sent as a token.
pub(super) fn is_token(text: &str) -> bool {
    (1..=4096).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut LabelStudioConfig)) -> &'static str {
        let mut config = LabelStudioConfig::default();
        change(&mut config);
        config.fault().map_or("", |(field, _)| field)
    }

    #[test]
    fn unusable_settings_are_named() {
        assert_eq!(fault(|_| {}), "");
        for url in ["http://127.0.0.1:8080", "https://labels.example.org/studio/", "http://[::1]:8080/x"] {
            assert_eq!(fault(|c| c.url = Some(url.to_owned())), "", "{url}");
        }
        for url in [
            "",
            "localhost:8080",
            "ftp://a.example",
            "http://",
            "http://me:secret@a.example",
            "http://a.example/?x=1",
        ] {
            assert_eq!(fault(|c| c.url = Some(url.to_owned())), "label_studio.url", "{url}");
        }
        assert_eq!(fault(|c| c.token = Some("a b".to_owned())), "label_studio.token");
        assert_eq!(fault(|c| c.codebook = "Ward 3".to_owned()), "label_studio.codebook");
        assert_eq!(fault(|c| c.rationale = " ".to_owned()), "label_studio.rationale");
        assert_eq!(fault(|c| c.predict_ms = 0), "label_studio.predict_ms");
        assert_eq!(fault(|c| c.waiting = 0), "label_studio.waiting");
    }

    #[test]
    fn the_address_is_a_folder() {
        let base = |text: &str| base_of(text).map(String::from);
        assert_eq!(base("http://a.example:8080").as_deref(), Some("http://a.example:8080/"));
        assert_eq!(base("https://a.example/studio").as_deref(), Some("https://a.example/studio/"));
    }
}
