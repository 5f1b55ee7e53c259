//! Query strings to typed values.

use std::borrow::Cow;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::reader::Variant;
use super::scalar::{Want, bool_of, number_of, whole_of};

/// Reads the fields of `T` from a query string.
pub(super) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Fault> {
    T::deserialize(Object(Params { pairs: form_urlencoded::parse(query.as_bytes()), current: None }))
}

/// All of them, as an object.
struct Object<'a, I>(Params<'a, I>);

impl<'de, 'a, I: Iterator<Item = Pair<'a>>> Deserializer<'de> for Object<'a, I> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A name and what it is to be.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// One parameter of a query string.
struct Param<'a>(&'a str);

macro_rules! whole_params {
    ($($method:ident $type:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let want = Want::Whole(<$type>::MIN as i128, <$type>::MAX as i128);
            let value = whole_of(self.0).and_then(|value| <$type>::try_from(value).ok());
            let visited = value.map(|value| value.into_deserializer().deserialize_any(visitor));
            visited.unwrap_or_else(|| self.wrong(want))
        }
    )*};
}

impl Param<'_> {
    fn wrong<T>(&self, want: Want) -> Result<T, Fault> {
        Err(Fault::value(format!("must be {want}, not `{}`", self.0)))
    }
}

impl<'de> Deserializer<'de> for Param<'_> {
    type Error = Fault;

    whole_params! {
        deserialize_i8 i8 deserialize_i16 i16 deserialize_i32 i32 deserialize_i64 i64
        deserialize_u8 u8 deserialize_u16 u16 deserialize_u32 u32 deserialize_u64 u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match bool_of(self.0) {
            Some(value) => visitor.visit_bool(value),
            None => self.wrong(Want::Bool),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match number_of(self.0) {
            Some(value) => visitor.visit_f64(value),
            None => self.wrong(Want::Number),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(Variant(self.0.into_deserializer()))
    }

    forward_to_deserialize_any! {
        f32 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// The parameters of a query string, in order.
struct Params<'a, I> {
    pairs: I,
    current: Option<Pair<'a>>,
}

impl<'de, 'a, I: Iterator<Item = Pair<'a>>> MapAccess<'de> for Params<'a, I> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.current = self.pairs.next();
        let Some((name, _)) = &self.current else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let (name, value) = self.current.take().unwrap_or_default();
        seed.deserialize(Param(&value)).map_err(|fault| fault.under(name))
    }
}
