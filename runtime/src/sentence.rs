//! Errors as people read them: one sentence with all causes, none of them twice.

use std::error::Error;

/// An error with its causes, unless they only repeat each other.
pub fn of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn mk_error(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().expect("at least one layer");
        let source = (!rest.is_empty()).then(|| Box::new(mk_error(rest)));
        Layer { text, source }
    }

    #[test]
    fn causes_follow_unless_they_are_said_already() {
        let error = mk_error(&["cannot listen: in use; choose another", "in use", "os error 98"]);
        assert_eq!(of(&error), "cannot listen: in use; choose another: os error 98");
    }
}
