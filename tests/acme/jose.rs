//! Signed requests (RFC 8555 §6.2) as an authority sees them.

use aws_lc_rs::{digest, hmac, signature};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A JSON Web Signature in its flattened form.
pub struct Signed {
    pub header: Value,
    /// Null for a request that only reads (RFC 8555 §6.3).
    pub payload: Value,
    message: String,
    signature: Vec<u8>,
}

/// base64url without padding.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

impl Signed {
    pub fn parse(body: &[u8]) -> Result<Signed, &'static str> {
        let body: Value = serde_json::from_slice(body).map_err(|_| "no JSON")?;
        Signed::of(&body)
    }

    fn of(body: &Value) -> Result<Signed, &'static str> {
        let part = |name: &str| body[name].as_str().ok_or("a part is missing");
        let (protected, payload) = (part("protected")?, part("payload")?);
        let json = |text: &str| serde_json::from_slice(&decode(text).ok_or("no base64url")?).map_err(|_| "no JSON");
        Ok(Signed {
            header: json(protected)?,
            payload: if payload.is_empty() { Value::Null } else { json(payload)? },
            message: format!("{protected}.{payload}"),
            signature: decode(part("signature")?).ok_or("no base64url")?,
        })
    }

    /// With a key of P-256.
    pub fn verify(&self, key: &Value) -> Result<(), &'static str> {
        if self.header["alg"] != "ES256" || key["kty"] != "EC" || key["crv"] != "P-256" {
            return Err("another algorithm than ES256");
        }
        if self.header["jwk"].is_null() == self.header["kid"].is_null() {
            return Err("either jwk or kid");
        }
        let coordinate = |name: &str| key[name].as_str().and_then(decode).filter(|bytes| bytes.len() == 32);
        let (x, y) = coordinate("x").zip(coordinate("y")).ok_or("no point")?;
        let point = [vec![4], x, y].concat();
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
            .verify(self.message.as_bytes(), &self.signature)
            .map_err(|_| "the signature is wrong")
    }
}

/// RFC 7638.
pub fn thumbprint(key: &Value) -> String {
    let text = format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, key["crv"], key["kty"], key["x"], key["y"]);
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// RFC 8555 §7.3.4.
pub fn verify_binding(binding: &Value, id: &str, secret: &[u8], key: &Value, url: &str) -> Result<(), &'static str> {
    let signed = Signed::of(binding)?;
    if signed.header != json!({"alg": "HS256", "kid": id, "url": url}) {
        return Err("the binding is for something else");
    }
    if thumbprint(&signed.payload) != thumbprint(key) {
        return Err("the binding is for another key");
    }
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.message.as_bytes(), &signed.signature)
        .map_err(|_| "the binding's signature is wrong")
}
