//! The keys of this part: one by which keys and requests are recognized, one that seals replies.

use aws_lc_rs::hmac;
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};

use super::{Key, Reply, Slot};
use crate::auth::keyring::{KeyId, Keyring, Mac, random};

/// The keys, derived from the master key with labels of their own.
pub struct Keys {
    mac: hmac::Key,
    replies: XChaCha20Poly1305,
    id: KeyId,
}

/// What two requests have in common that are the same.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method that runs.
    pub method: &'a str,
    /// The canonical target, with its query.
    pub target: &'a str,
    /// The type of the body; empty when there is none.
    pub content_type: &'a [u8],
    /// The view that the reply is for: one that shows secrets is nobody else's.
    pub view: &'a str,
    /// The body.
    pub body: &'a [u8],
}

const NONCE_BYTES: usize = 24;

impl Keys {
    /// Takes the keys from the keyring.
    pub fn new(keyring: &Keyring) -> Self {
        let [mac, replies] = keyring.idempotency_seeds();
        Self {
            mac: hmac::Key::new(hmac::HMAC_SHA256, &*mac),
            replies: XChaCha20Poly1305::new((&*replies).into()),
            id: keyring.id().clone(),
        }
    }

    /// The id of the keys, which stands beside what was made with them.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Where a key of a tenant's is kept. The key itself is not: it may be anything.
    pub fn slot(&self, tenant: i64, credential: i64, key: &Key) -> Slot {
        Slot { tenant, credential, mac: self.sign(&[b"key", key.as_bytes()]) }
    }

    /// By what a request is compared with another one.
    pub fn print(&self, asked: &Asked<'_>) -> Mac {
        let Asked { method, target, content_type, view, body } = *asked;
        let [method, target, view] = [method, target, view].map(str::as_bytes);
        self.sign(&[b"request", method, target, content_type, view, body])
    }

    /// Encrypts a reply for its place; none where it cannot be written or there is no randomness.
    pub fn seal(&self, slot: &Slot, row: i64, reply: &Reply) -> Option<Vec<u8>> {
        let nonce = random::<NONCE_BYTES>().ok()?;
        let payload = Payload { msg: &reply.encode()?, aad: &place(slot, row) };
        let sealed = self.replies.encrypt(XNonce::from_slice(&*nonce), payload).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// Decrypts what was sealed for the same place; none for anything else.
    pub fn open(&self, slot: &Slot, row: i64, sealed: &[u8]) -> Option<Reply> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: rest, aad: &place(slot, row) };
        Reply::decode(&self.replies.decrypt(XNonce::from_slice(nonce), payload).ok()?)
    }

    /// Each part with its length, so that no two lists of parts are the same bytes.
    fn sign(&self, parts: &[&[u8]]) -> Mac {
        let mut context = hmac::Context::with_key(&self.mac);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Mac::from_bytes(context.sign().as_ref()).expect("HMAC-SHA-256 has the length of a MAC")
    }
}

/// Moved to another line, a reply does not open.
fn place(slot: &Slot, row: i64) -> Vec<u8> {
    let numbers = [row, slot.tenant, slot.credential].map(i64::to_be_bytes).concat();
    [&b"idempotency 1\0"[..], &numbers, slot.mac.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::auth::keyring::MasterKey;

    fn keys(byte: &str) -> Keys {
        let text: String = (0..32).map(|n| format!("{:02x}", n * 3)).collect::<String>() + byte;
        Keys::new(&Keyring::derive(&MasterKey::parse(&text).expect("a master key")))
    }

    fn key(text: &str) -> Key {
        Key::parse([text.as_bytes()].into_iter()).expect("a key")
    }

    #[test]
    fn a_slot_is_a_tenants_and_a_credentials() {
        let keys = keys("01");
        let slot = keys.slot(1, 2, &key("a"));
        assert_eq!(slot, keys.slot(1, 2, &key("\"a\"")));
        for other in
            [keys.slot(2, 2, &key("a")), keys.slot(1, 1, &key("a")), keys.slot(1, 2, &key("b"))]
        {
            assert_ne!(slot, other);
        }
        assert_ne!(slot, self::keys("02").slot(1, 2, &key("a")), "another master key");
    }

    #[test]
    fn a_print_depends_on_every_part_and_where_it_ends() {
        let keys = keys("01");
        let (target, content_type) = ("/a", b"t");
        let same = Asked { method: "POST", target, content_type, view: "shown", body: b"ab" };
        let print = keys.print(&same);
        assert_eq!(print, keys.print(&same));
        for other in [
            Asked { method: "PUT", ..same },
            Asked { target: "/a?b=1", ..same },
            Asked { content_type: b"", ..same },
            Asked { content_type: b"ta", body: b"b", ..same },
            Asked { view: "hidden", ..same },
            Asked { body: b"abc", ..same },
        ] {
            assert_ne!(print, keys.print(&other), "{other:?}");
        }
    }

    #[test]
    fn a_reply_opens_in_its_place_alone() {
        let keys = keys("01");
        let slot = keys.slot(1, 2, &key("a"));
        let (status, body) = (StatusCode::CREATED, "planted-secret".into());
        let reply = Reply { status, headers: HeaderMap::new(), body };
        let sealed = keys.seal(&slot, 7, &reply).expect("sealed");
        assert!(memchr::memmem::find(&sealed, b"planted").is_none());
        assert_eq!(keys.open(&slot, 7, &sealed), Some(reply));
        assert_eq!(keys.open(&slot, 8, &sealed), None);
        assert_eq!(keys.open(&Slot { tenant: 2, ..slot }, 7, &sealed), None);
        assert_eq!(self::keys("02").open(&slot, 7, &sealed), None);
        assert_eq!(keys.open(&slot, 7, &sealed[..20]), None);
    }
}
