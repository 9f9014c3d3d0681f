//! What can be kept of the key: enough to tell that it is the same one, too little to use it.

use super::transport::Client;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

/// So many bytes tell two keys of one file apart, and tell nobody else anything.
const BYTES: usize = 8;

impl Client {
    /// The digest of key and address under this file's random; hex digits. `None` cannot happen with
    /// a salt of any length, and then nothing is known.
    pub fn account_digest(&self, salt: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).ok()?;
        mac.update(self.key.expose_secret().as_bytes());
        // No key holds a zero byte, so that nothing moves from the one into the other.
        mac.update(&[0]);
        mac.update(self.base_url.as_str().trim_end_matches('/').as_bytes());
        Some(hex::encode(&mac.finalize().into_bytes()[..BYTES]))
    }
}

#[cfg(test)]
mod tests {
    use crate::vendor::{Client, ClientConfig};
    use secrecy::SecretString;

    fn digest(url: &str, key: &str, salt: &str) -> String {
        let config = ClientConfig::new(url.parse().unwrap(), SecretString::from(key.to_owned()));
        Client::new(&config).unwrap().account_digest(salt).unwrap()
    }

    #[test]
    fn the_same_key_at_the_same_address_and_nothing_else() {
        let one = digest("https://api.example.com/v1", "secret", "salt");
        assert_eq!(one.len(), 16);
        assert!(!one.contains("secret"));
        assert_eq!(one, digest("https://API.example.com:443/v1/", "secret", "salt"));
        for (url, key, salt) in [
            ("https://api.example.com/v2", "secret", "salt"),
            ("https://other.example.com/v1", "secret", "salt"),
            ("https://api.example.com/v1", "secret2", "salt"),
            ("https://api.example.com/v1", "secret", "salt2"),
        ] {
            assert_ne!(one, digest(url, key, salt), "{url} {key} {salt}");
        }
    }
}
