//! An object as it was read, whether it can be understood or not.
//!
//! The API server refuses what is malformed, but it keeps what an older schema let through. One
//! such object must not make a whole list unreadable, and whoever reads it may make something of
//! the part that can be understood.

use std::borrow::Cow;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object, or what there is in its place.
#[derive(Clone, Debug)]
pub enum Reading<K> {
    /// It is understood.
    Whole(Box<K>),
    /// It is not.
    Unreadable(Box<Unreadable>),
}

/// An object that cannot be understood.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Who it is; what cannot be understood even of this is missing.
    pub metadata: ObjectMeta,
    /// Everything that it says.
    pub raw: Value,
    /// What is wrong with it.
    pub error: String,
}

// === impl Reading ===

impl<'de, K: DeserializeOwned> Deserialize<'de> for Reading<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(deserializer)?;
        let error = match K::deserialize(&raw) {
            Ok(object) => return Ok(Self::Whole(Box::new(object))),
            Err(error) => error,
        };
        let unreadable = Unreadable::new(raw, error.to_string());
        if unreadable.metadata.name.is_none() {
            // Not even an object: an answer of somebody else.
            return Err(D::Error::custom(error));
        }
        Ok(Self::Unreadable(Box::new(unreadable)))
    }
}

impl<K: Resource> Resource for Reading<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Whole(object) => object.meta(),
            Self::Unreadable(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Whole(object) => object.meta_mut(),
            Self::Unreadable(unreadable) => &mut unreadable.metadata,
        }
    }
}

// === impl Unreadable ===

impl Unreadable {
    fn new(raw: Value, error: String) -> Self {
        let stored = raw.get("metadata");
        let text = |field: &str| Some(stored?.get(field)?.as_str()?.to_owned());
        let metadata = stored
            .and_then(|stored| ObjectMeta::deserialize(stored).ok())
            .unwrap_or_else(|| ObjectMeta {
                namespace: text("namespace"),
                name: text("name"),
                uid: text("uid"),
                resource_version: text("resourceVersion"),
                ..ObjectMeta::default()
            });
        Self { metadata, raw, error }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::json;

    use super::*;

    fn read(object: Value) -> Reading<Node> {
        serde_json::from_value(object).expect("whatever it is, it is read")
    }

    #[test]
    fn what_is_understood_is_the_object() {
        let reading = read(json!({"metadata": {"name": "n1"}}));
        assert!(matches!(reading, Reading::Whole(_)), "{reading:?}");
        assert_eq!(reading.meta().name.as_deref(), Some("n1"));
    }

    #[test]
    fn what_is_not_understood_still_says_who_it_is() {
        for metadata in [
            json!({"name": "n1", "resourceVersion": "7"}),
            json!({"name": "n1", "resourceVersion": "7", "labels": 7}),
        ] {
            let reading = read(json!({"metadata": metadata, "spec": {"podCIDRs": 7}}));
            let Reading::Unreadable(unreadable) = &reading else {
                panic!("{reading:?}");
            };
            assert_eq!(unreadable.raw["spec"]["podCIDRs"], 7);
            assert!(unreadable.error.contains("invalid type"), "{unreadable:?}");
            assert_eq!(reading.meta().name.as_deref(), Some("n1"));
            assert_eq!(reading.meta().resource_version.as_deref(), Some("7"));
        }
    }

    #[test]
    fn what_does_not_say_who_it_is_is_no_object() {
        for answer in [json!("no object"), json!(7), json!({"spec": {"podCIDRs": 7}})] {
            let read = serde_json::from_value::<Reading<Node>>(answer);
            assert!(read.is_err(), "{read:?}");
        }
    }
}
