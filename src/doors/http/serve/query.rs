//! What stands in an address, decoded strictly: what could be read in two ways is refused.

use crate::api::ApiError;

/// The fields of a query, in their order.
///
/// # Errors
/// A `%` is not followed by two digits, a text is no UTF-8, or has control characters.
pub fn fields(query: Option<&str>) -> Result<Vec<(String, String)>, ApiError> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name, true)?, decoded(value, true)?))
        })
        .collect()
}

/// A part of an address as the text that it means; in a query `+` is a space.
pub fn decoded(text: &str, is_query: bool) -> Result<String, ApiError> {
    let wrong = |why: &str| {
        ApiError::invalid_params(
            format!("{text:?} in the address {why}"),
            "encode it as UTF-8, and % itself as %25",
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(wrong("has a % without two digits"));
                };
                (high * 16 + low) as u8
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no UTF-8"))?;
    match text.chars().any(char::is_control) {
        false => Ok(text),
        true => Err(wrong("has a control character")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_refused() {
        let table = [
            ("a", Some("a")),
            ("a%2Fb", Some("a/b")),
            ("a+b%20c", Some("a b c")),
            ("%c3%a9", Some("é")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%ff", None),
            ("%c0%af", None),
            ("a%00b", None),
            ("a%0d%0ab", None),
            ("%7f", None),
        ];
        for (text, expected) in table {
            assert_eq!(decoded(text, true).ok().as_deref(), expected, "{text}");
        }
        assert_eq!(decoded("a+b", false).unwrap(), "a+b");
        let pairs = fields(Some("a=1&&b&c=x%3Dy=z")).unwrap();
        let expected = [("a", "1"), ("b", ""), ("c", "x=y=z")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(fields(Some("a=%")).is_err() && fields(None).unwrap().is_empty());
    }
}
