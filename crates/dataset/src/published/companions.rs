//! The sets that go with published records and are joined to them by uid: related texts, related images,
//! questions about the rationale (R-Gen), scenes for chain-of-error (`CoE`), and chains of thought.

use std::collections::HashMap;
use std::fmt::Write as _;

use reasonedit_text::split_sentences;

use super::answers::choices;
use super::cells::{among, parts, text};
use super::companion_set::CompanionSet;
use super::layout::Layout;
use crate::DatasetError;
use crate::files::{Pictures, RawRecord};
use crate::record::{Record, Sample};

/// Of the related texts of a record so many are asked, as the authors do.
const TEXTS: usize = 5;
/// Scenes that the authors make for a record.
const SCENES: usize = 3;

/// Joins sets to records.
pub(crate) struct Companions<'a> {
    records: &'a mut [Record],
    by_uid: HashMap<String, usize>,
    pictures: &'a Pictures,
    /// What the data may be called in names of folders.
    names: &'a [String],
    notes: Vec<String>,
}

impl<'a> Companions<'a> {
    /// For these records.
    ///
    /// # Errors
    /// Two records of one uid: a set could not tell them apart.
    pub(crate) fn of(
        records: &'a mut [Record],
        pictures: &'a Pictures,
        layout: &'a Layout,
    ) -> Result<Self, DatasetError> {
        let mut by_uid = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            if by_uid.insert(record.uid.clone(), at).is_some() {
                return Err(DatasetError::Data(format!("there are two records of the uid {}", record.uid)));
            }
        }
        Ok(Self { records, by_uid, pictures, names: &layout.names, notes: Vec::new() })
    }

    /// Joins the rows of a set, of the file of this name.
    ///
    /// # Errors
    /// A path that leads out of the folders.
    pub(crate) fn join(
        &mut self,
        set: CompanionSet,
        name: &str,
        rows: &[RawRecord],
    ) -> Result<(), DatasetError> {
        let (mut joined, mut unmatched, mut unusable) = (0, 0, 0);
        let by_picture = if set == CompanionSet::Images { self.by_picture(rows) } else { HashMap::new() };
        for row in rows {
            let own = match text(row, &["uid"]) {
                Some(uid) => self.by_uid.get(&uid).map(|at| vec![*at]),
                None => text(row, &["image_path"]).and_then(|path| by_picture.get(path.as_str()).cloned()),
            };
            let Some(own) = own else {
                unmatched += 1;
                continue;
            };
            for at in own {
                if self.add(set, at, row)? { joined += 1 } else { unusable += 1 }
            }
        }
        // Writing to a string does not fail.
        let mut note =
            format!("{} ({name}): {joined} of {} rows were joined to records", set.title(), rows.len());
        if unmatched > 0 {
            let _ = write!(note, "; {unmatched} belong to none that is here");
        }
        if unusable > 0 {
            let _ = write!(note, "; {unusable} lack a picture, a question or an answer");
        }
        self.notes.push(note + ".");
        Ok(())
    }

    /// Records by picture, for sets that name nothing else; the first row of a picture counts, as it does for
    /// the authors.
    fn by_picture<'r>(&self, rows: &'r [RawRecord]) -> HashMap<&'r str, Vec<usize>> {
        let mut own: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, record) in self.records.iter().enumerate() {
            own.entry(record.sample.image.as_str()).or_default().push(at);
        }
        let path = |row: &'r RawRecord| row.get("image_path").and_then(|path| path.as_str());
        rows.iter().filter_map(path).filter_map(|path| Some((path, own.get(path)?.clone()))).collect()
    }

    /// Whether the row holds something that can be asked.
    fn add(&mut self, set: CompanionSet, at: usize, row: &RawRecord) -> Result<bool, DatasetError> {
        match set {
            CompanionSet::Texts => {
                let lines = |text: &str| text.lines().map(str::to_owned).collect();
                let mut texts = parts(row.get("variants").or_else(|| row.get("paraphrases")), lines);
                texts.truncate(TEXTS);
                let own = &mut self.records[at].paraphrases;
                if own.is_empty() {
                    *own = texts;
                }
                Ok(!own.is_empty())
            }
            CompanionSet::Images => {
                let mut images = parts(row.get("images").or_else(|| row.get("similar_images")), |path| {
                    vec![path.to_owned()]
                });
                if let Some(info) = text(row, &["image_info_id"]) {
                    images.extend(self.listed("related_image", &info)?);
                }
                let mut found = Vec::new();
                for image in images {
                    if self.pictures.has(&image)? {
                        found.push(image);
                    }
                }
                let own = &mut self.records[at].similar_images;
                if own.is_empty() {
                    *own = found;
                }
                Ok(!own.is_empty())
            }
            CompanionSet::Rationale | CompanionSet::Errors => {
                let Some(sample) = self.sample(set, at, row)? else { return Ok(false) };
                let record = &mut self.records[at];
                if set == CompanionSet::Rationale {
                    record.rationale_questions.push(sample);
                } else {
                    record.related.push(sample);
                }
                Ok(true)
            }
            CompanionSet::Thoughts => {
                let mut thoughts = parts(row.get("cot"), split_sentences);
                if thoughts.is_empty() {
                    // The last sentence draws the conclusion; the authors leave it out.
                    thoughts = parts(row.get("reason"), split_sentences);
                    thoughts.pop();
                }
                let any = !thoughts.is_empty();
                if any {
                    self.records[at].reasoning = thoughts;
                }
                Ok(any)
            }
        }
    }

    /// A question of a set; what a scene leaves out is as in its record. `None` without a picture, a question
    /// or an answer.
    fn sample(&self, set: CompanionSet, at: usize, row: &RawRecord) -> Result<Option<Sample>, DatasetError> {
        let Some(image) = self.image(row)? else { return Ok(None) };
        let own = &self.records[at].sample;
        if set == CompanionSet::Errors
            && text(row, &["question"]).is_none_or(|question| question == own.question)
        {
            return Ok(Some(Sample { image, ..own.clone() }));
        }
        let listed = parts(row.get("answers"), |text| text.split('|').map(str::to_owned).collect());
        let mut choices = if listed.is_empty() { choices(row) } else { listed.clone() };
        let answer = text(row, &["answer"]).or_else(|| listed.first().cloned());
        // The right one comes first in the file: here no place says anything.
        choices.sort();
        choices.dedup();
        Ok(text(row, &["question"]).zip(answer).and_then(|(question, answer)| {
            let answer = among(&choices, answer);
            let listed = choices.is_empty() || choices.contains(&answer);
            listed.then_some(Sample { image, question, answer, choices, truth: None })
        }))
    }

    /// The picture of a row: by its path, or where the authors keep it by its number.
    fn image(&self, row: &RawRecord) -> Result<Option<String>, DatasetError> {
        let given = text(row, &["image_path", "image"]);
        let numbered = text(row, &["sid"]).into_iter().flat_map(|sid| {
            let folders = self.names.iter().map(|name| format!("data/r_gen/image/{name}"));
            folders.chain(["data/r_gen/image".to_owned()]).map(move |folder| format!("{folder}/{sid}.png"))
        });
        for image in given.into_iter().chain(numbered) {
            if self.pictures.has(&image)? {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// Pictures in a folder of the authors', `data/KIND/NAME/inner`.
    fn listed(&self, kind: &str, inner: &str) -> Result<Vec<String>, DatasetError> {
        for name in self.names {
            let found = self.pictures.list(&format!("data/{kind}/{name}/{inner}"))?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Scenes that stand in the authors' folders and in no file:
    /// `data/coe_gen_merge/image/NAME/MODEL/UID/scenario_0.png`.
    fn scenes(&mut self) -> Result<(), DatasetError> {
        let kind = "coe_gen_merge/image";
        let models = self.listed(kind, "")?;
        let [model] = models.as_slice() else {
            if models.len() > 1 {
                self.notes.push(format!(
                    "The scenes of CoE are there for {} models: keep the folder of the one whose errors are edited.",
                    models.len()
                ));
            }
            return Ok(());
        };
        let model = model.clone();
        let mut joined = 0;
        for record in self.records.iter_mut().filter(|record| record.related.is_empty()) {
            for scene in 0..SCENES {
                let image = format!("{model}/{}/scenario_{scene}.png", record.uid);
                if self.pictures.has(&image).unwrap_or(false) {
                    record.related.push(Sample { image, ..record.sample.clone() });
                    joined += 1;
                }
            }
        }
        let model = model.rsplit('/').next().unwrap_or_default();
        self.notes.push(format!("{joined} scenes of CoE, made for the errors of {model}."));
        Ok(())
    }

    /// What is to be said of the sets, each that is not there by name.
    ///
    /// # Errors
    /// A path that leads out of the folders.
    pub(crate) fn finish(mut self) -> Result<Vec<String>, DatasetError> {
        self.scenes()?;
        let records = &*self.records;
        let any = |has: &dyn Fn(&Record) -> bool| records.iter().any(has);
        for (set, column, place) in CompanionSet::MEASURED {
            let there = match set {
                CompanionSet::Texts => any(&|record| !record.paraphrases.is_empty()),
                CompanionSet::Images => any(&|record| !record.similar_images.is_empty()),
                CompanionSet::Rationale => any(&|record| !record.rationale_questions.is_empty()),
                CompanionSet::Errors | CompanionSet::Thoughts => any(&|record| !record.related.is_empty()),
            };
            if !there {
                let title = set.title();
                self.notes.push(format!("Not there: {title} ({place}). The column {column} is empty."));
            }
        }
        Ok(self.notes)
    }
}

#[cfg(test)]
mod tests;
