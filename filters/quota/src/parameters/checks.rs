//! What the parts of the document have in common: how they are read, and how values are checked.

use serde::Deserialize;

/// An optional value whose field must be there all the same: one that is forgotten is a mistake.
pub(super) fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

pub(super) fn document_as<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(document);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // The position is left out: the document is one line that nobody wrote by hand.
        let text = error.inner().to_string();
        let text = text.split(" at line ").next().unwrap_or_default().to_owned();
        match error.path().to_string().as_str() {
            "." => text,
            path => format!("{path}: {text}"),
        }
    })?;
    json.end().map_err(|_| "there is more after the end of the document".to_owned())?;
    Ok(value)
}

pub(super) fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{field}: {value} is not in {least} to {most}"))
    }
}

/// Checks for `a/b/c`. The characters that would end a part of a key or a line of the log are
/// refused.
pub(super) fn words(field: &str, text: &str, count: usize) -> Result<(), String> {
    let clean = |word: &str| {
        !word.is_empty()
            && !word.chars().any(|c| c.is_control() || c.is_whitespace() || "{}:".contains(c))
    };
    if text.split('/').count() == count && text.split('/').all(clean) {
        Ok(())
    } else {
        Err(format!("{field}: {text:?} is not {count} words with / between them"))
    }
}

/// Checks for a name that can stand in a header or cookie.
pub(super) fn token(field: &str, name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(format!("{field}: {name:?} is no name of a header or cookie"))
    }
}

/// Compiles the elements of a list; an error tells which one it is about.
pub(super) fn list<T, U>(
    field: &str,
    elements: Vec<T>,
    mut compile: impl FnMut(T) -> Result<U, String>,
) -> Result<Vec<U>, String> {
    let numbered = elements.into_iter().enumerate();
    numbered
        .map(|(index, element)| {
            compile(element).map_err(|error| format!("{field}[{index}].{error}"))
        })
        .collect()
}
