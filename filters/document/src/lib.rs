//! How a filter reads the document of its parameters, and what any such document may hold.
//!
//! Every error is one line that names the place and what is wrong with it: the proxy shows it to
//! whoever wrote the manifest.
#![forbid(unsafe_code)]

use serde::Deserialize;

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Reads a document of this version.
///
/// # Errors
/// It has another version, or is not what was expected.
pub fn read<'a, T: Deserialize<'a>>(document: &'a [u8], expected: u32) -> Result<T, String> {
    // Looked at first, on its own: a later version may hold anything else.
    let Version { version } = parse(document)?;
    if version != expected {
        return Err(format!("version: {version} is not {expected}, the one this filter reads"));
    }
    parse(document)
}

fn parse<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<T, String> {
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

/// An optional value whose field must be there all the same: one that is forgotten is a mistake.
///
/// # Errors
/// The value is not of its type.
pub fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// Checks that a number is in its bounds, both included.
///
/// # Errors
/// It is not.
pub fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{field}: {value} is not in {least} to {most}"))
    }
}

/// Checks for `a/b/c`. No word may hold white space, or one of the characters that are `barred`
/// because they would end a part of a key or a line of a log.
///
/// # Errors
/// The text is not so many words.
pub fn words(field: &str, text: &str, count: usize, barred: &str) -> Result<(), String> {
    let clean = |word: &str| {
        !word.is_empty()
            && !word.chars().any(|c| c.is_control() || c.is_whitespace() || barred.contains(c))
    };
    if text.split('/').count() == count && text.split('/').all(clean) {
        Ok(())
    } else {
        Err(format!("{field}: {text:?} is not {count} words with / between them"))
    }
}

/// Checks for a name that can stand in a header or cookie (RFC 9110, section 5.6.2).
///
/// # Errors
/// It cannot.
pub fn token(field: &str, name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(format!("{field}: {name:?} is no name of a header or cookie"))
    }
}

/// Checks the status and the headers of an answer that the control plane has made.
///
/// # Errors
/// The status is none of an answer, or a header could carry another one.
pub fn answer(status: u16, headers: &[(String, String)]) -> Result<(), String> {
    if !(200..=599).contains(&status) {
        return Err(format!("status {status} is not in 200 to 599"));
    }
    for (name, value) in headers {
        // A line break would let a value begin another header.
        if name.is_empty() || name.starts_with(':') || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{name:?} is no name of a header"));
        }
        if value.bytes().any(|b| b < b' ' && b != b'\t') {
            return Err(format!("the value of {name} has a control character"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_cannot_carry_others() {
        let one = |name: &str, value: &str| answer(503, &[(name.into(), value.into())]);
        assert!(one("location", "/later").is_ok());
        assert!(one("location", "/a\r\nset-cookie: x").is_err());
        assert!(one("", "x").is_err());
        assert!(one(":status", "x").is_err());
        assert!(one("a b", "x").is_err());
    }

    #[test]
    fn what_is_barred_depends_on_where_a_word_goes() {
        assert!(words("sale", "shop/a:b", 2, "{}").is_ok());
        assert!(words("policy", "shop/a:b", 2, "{}:").is_err());
        assert!(words("sale", "shop/{a}", 2, "{}").is_err());
        assert!(words("sale", "shop", 2, "").is_err());
    }
}
