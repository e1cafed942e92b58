//! PEM as it occurs in the field: under whatever label, and with newlines that are sometimes
//! the two characters `\n` (a key inside a handshake message).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::Error;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters in a line of a PEM body.
const LINE: usize = 64;

/// The body of the first block, whatever its label says: old daemons write `RSA PUBLIC KEY`
/// around a body that is a `PUBLIC KEY`, so only the body decides.
pub(crate) fn read(text: &str) -> Result<Vec<u8>, Error> {
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(Error::NotPem)?;
    let (label, rest) = rest.split_once("-----").ok_or(Error::NotPem)?;
    let (body, _) = rest.split_once("-----END ").ok_or(Error::NotPem)?;
    if label.contains("ENCRYPTED") || body.contains("ENCRYPTED") {
        return Err(Error::Encrypted);
    }
    let body: String = body
        .replace("\\r", "")
        .replace("\\n", "")
        .split_ascii_whitespace()
        .collect();
    LENIENT.decode(body).map_err(|_| Error::NotPem)
}

/// Writes a block with Unix line ends.
pub(crate) fn write(label: &str, der: &[u8]) -> String {
    let body = LENIENT.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
