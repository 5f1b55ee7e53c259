//! A deserializer around another one that takes what the contract says and nothing else: an object is no list
//! of its fields, a whole number may be written `64.0`, and what is wrong is said in this API's words with
//! its place. Texts are passed on as they come: nothing is copied here but names.
//!
//! Errors of the parser's own type hold no place, so a fault found inside is left in the [`Stash`] while the
//! parser unwinds.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize as _;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, IntoDeserializer as _, MapAccess,
    SeqAccess, Unexpected, Visitor,
};

use super::fault::Fault;
use super::scalar::{Want, bool_of, number_of, whole, whole_of};

/// The fault on its way out, and how the document is read.
#[derive(Default)]
pub(super) struct Stash {
    fault: Cell<Option<Fault>>,
    /// Numbers and truth values may be written as texts: forms have nothing else.
    texts: bool,
}

impl Stash {
    /// For what came in a form.
    pub(super) fn of_form() -> Self {
        Self { texts: true, ..Self::default() }
    }

    /// From this API's error to the parser's.
    fn leave<T, E: Error>(&self, result: Result<T, Fault>) -> Result<T, E> {
        result.map_err(|fault| {
            self.fault.set(Some(fault));
            E::custom("")
        })
    }

    /// From the parser's error to this API's.
    fn take<T, E: fmt::Display>(&self, result: Result<T, E>) -> Result<T, Fault> {
        result.map_err(|parser| self.fault.take().unwrap_or_else(|| Fault::syntax(&parser)))
    }
}

/// See the module.
pub(super) struct Reader<'s, D> {
    inner: D,
    stash: &'s Stash,
}

impl<'s, D> Reader<'s, D> {
    pub(super) fn new(inner: D, stash: &'s Stash) -> Self {
        Self { inner, stash }
    }
}

impl<'de, D: Deserializer<'de>> Reader<'_, D> {
    fn read<V: Visitor<'de>>(self, want: Want, visitor: V) -> Result<V::Value, Fault> {
        let stash = self.stash;
        stash.take(self.inner.deserialize_any(Guard { visitor, want, stash }))
    }
}

macro_rules! whole_numbers {
    ($($method:ident $type:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.read(Want::Whole(<$type>::MIN as i128, <$type>::MAX as i128), visitor)
        }
    )*};
}

macro_rules! wants {
    ($($method:ident $want:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.read(Want::$want, visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Reader<'_, D> {
    type Error = Fault;

    whole_numbers! {
        deserialize_i8 i8 deserialize_i16 i16 deserialize_i32 i32 deserialize_i64 i64
        deserialize_u8 u8 deserialize_u16 u16 deserialize_u32 u32 deserialize_u64 u64
    }

    wants! {
        deserialize_any Any deserialize_bool Bool deserialize_f32 Number deserialize_f64 Number deserialize_char Text
        deserialize_str Text deserialize_string Text deserialize_identifier Text deserialize_bytes Text
        deserialize_byte_buf Text deserialize_unit Null deserialize_seq List
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let stash = self.stash;
        stash.take(self.inner.deserialize_option(Guard { visitor, want: Want::Any, stash }))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(Want::Null, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(Want::List, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(Want::List, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.read(Want::Object(&[]), visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(Want::Object(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(Want::Word(variants), visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.stash.take(IgnoredAny::deserialize(self.inner))?;
        visitor.visit_unit()
    }
}

/// Lets through to the visitor what is wanted, and refuses the rest.
struct Guard<'s, V> {
    visitor: V,
    want: Want,
    stash: &'s Stash,
}

impl<'de, V: Visitor<'de>> Guard<'_, V> {
    fn wrong<E: Error>(self, is: Unexpected<'_>) -> Result<V::Value, E> {
        self.stash.leave(Err(Fault::wrong(&self.want, is)))
    }

    /// A whole number, if it is in the range; `is` tells it as it was written.
    fn whole<E: Error>(self, value: i128, is: Unexpected<'_>) -> Result<V::Value, E> {
        let Want::Whole(least, most) = self.want else { return self.wrong(is) };
        if !(least..=most).contains(&value) {
            return self.wrong(is);
        }
        let result = match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.visitor.visit_u64(value),
            (_, Ok(value)) => self.visitor.visit_i64(value),
            _ => Err(Fault::wrong(&self.want, is)),
        };
        self.stash.leave(result)
    }

    /// What a text stands for where forms have nothing but texts; else the place wants no text.
    fn text<E: Error>(self, text: &str) -> Result<V::Value, E> {
        if self.stash.texts {
            let result = match self.want {
                Want::Bool => bool_of(text).map(|value| self.visitor.visit_bool(value)),
                Want::Number => number_of(text).map(|value| self.visitor.visit_f64(value)),
                Want::Whole(..) => {
                    return match whole_of(text) {
                        Some(value) => self.whole(value, Unexpected::Str(text)),
                        None => self.wrong(Unexpected::Str(text)),
                    };
                }
                Want::List | Want::Object(_) => return self.written(text),
                _ => return self.wrong(Unexpected::Str(text)),
            };
            let (stash, want) = (self.stash, self.want);
            return stash.leave(result.unwrap_or_else(|| Err(Fault::wrong(&want, Unexpected::Str(text)))));
        }
        self.wrong(Unexpected::Str(text))
    }

    /// A list or an object that a form has as the text of one.
    fn written<E: Error>(self, text: &str) -> Result<V::Value, E> {
        let (want, stash) = (self.want, self.stash);
        let value = super::from_text(text).filter(|value| match want {
            Want::List => value.is_array(),
            _ => value.is_object(),
        });
        let read = match value {
            Some(value) => stash.take(value.deserialize_any(self)),
            None => Err(Fault::value(format!("must be {want}, written as JSON"))),
        };
        stash.leave(read)
    }

    fn word<E: Error>(self, word: &str) -> Result<V::Value, E> {
        let word: StrDeserializer<'_, Fault> = word.into_deserializer();
        self.stash.leave(self.visitor.visit_enum(Variant(word)))
    }
}

/// The name of a variant without content.
pub(super) struct Variant<'a>(pub(super) StrDeserializer<'a, Fault>);

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Fault;
    type Variant = <StrDeserializer<'a, Fault> as EnumAccess<'de>>::Variant;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), Fault> {
        EnumAccess::<'de>::variant_seed(self.0, seed)
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Guard<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.want)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Bool => self.stash.leave(self.visitor.visit_bool(value)),
            _ => self.wrong(Unexpected::Bool(value)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Number => self.stash.leave(self.visitor.visit_u64(value)),
            _ => self.whole(i128::from(value), Unexpected::Unsigned(value)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Number => self.stash.leave(self.visitor.visit_i64(value)),
            _ => self.whole(i128::from(value), Unexpected::Signed(value)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        match (self.want, whole(value)) {
            (Want::Any | Want::Number, _) => self.stash.leave(self.visitor.visit_f64(value)),
            (Want::Whole(..), Some(number)) => self.whole(number, Unexpected::Float(value)),
            _ => self.wrong(Unexpected::Float(value)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Text => self.stash.leave(self.visitor.visit_str(text)),
            Want::Word(_) => self.word(text),
            _ => self.text(text),
        }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Text => self.stash.leave(self.visitor.visit_borrowed_str(text)),
            Want::Word(_) => self.word(text),
            _ => self.text(text),
        }
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Text => self.stash.leave(self.visitor.visit_string(text)),
            Want::Word(_) => self.word(&text),
            _ => self.text(&text),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.stash.leave(self.visitor.visit_none())
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.stash.leave(self.visitor.visit_some(Reader { inner: value, stash: self.stash }))
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Null => self.stash.leave(self.visitor.visit_unit()),
            _ => self.wrong(Unexpected::Unit),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        match self.want {
            Want::Any | Want::List => {
                let items = Items { inner: list, index: 0, stash: self.stash };
                self.stash.leave(self.visitor.visit_seq(items))
            }
            _ => self.wrong(Unexpected::Seq),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        match self.want {
            Want::Any | Want::Object(_) => {
                let fields = Fields { inner: object, name: String::new(), stash: self.stash };
                self.stash.leave(self.visitor.visit_map(fields))
            }
            _ => self.wrong(Unexpected::Map),
        }
    }
}

/// A value within another.
struct Inside<'s, S> {
    seed: S,
    stash: &'s Stash,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.stash.leave(self.seed.deserialize(Reader { inner, stash: self.stash }))
    }
}

struct Items<'s, A> {
    inner: A,
    index: usize,
    stash: &'s Stash,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let inside = Inside { seed, stash: self.stash };
        let item = self.stash.take(self.inner.next_element_seed(inside));
        let item = item.map_err(|fault| fault.under(self.index.to_string()))?;
        self.index += 1;
        Ok(item)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

struct Fields<'s, A> {
    inner: A,
    /// Of the field whose value comes next.
    name: String,
    stash: &'s Stash,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(name) = self.stash.take(self.inner.next_key::<String>())? else { return Ok(None) };
        self.name = name;
        let name: StrDeserializer<'_, Fault> = self.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let inside = Inside { seed, stash: self.stash };
        let value = self.stash.take(self.inner.next_value_seed(inside));
        value.map_err(|fault| fault.under(std::mem::take(&mut self.name)))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}
