//! Echo requests and replies (RFC 792, RFC 4443).

use std::net::IpAddr;

use uuid::Uuid;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;
const HEADER: usize = 8;
/// As many bytes as other pings send.
const PAYLOAD: usize = 56;

/// The requests of a task, which others are told apart from by a random text in them.
#[derive(Debug)]
pub(super) struct Echo {
    is_v4: bool,
    token: Uuid,
}

impl Echo {
    pub(super) fn new(address: IpAddr) -> Self {
        Self { is_v4: address.is_ipv4(), token: Uuid::new_v4() }
    }

    /// A request with this number. A datagram socket sets an identifier of its own.
    pub(super) fn request(&self, number: u16) -> Vec<u8> {
        let kind = if self.is_v4 { REQUEST_V4 } else { REQUEST_V6 };
        let [high, low] = number.to_be_bytes();
        let [.., id_high, id_low] = *self.token.as_bytes();
        let mut message = vec![kind, 0, 0, 0, id_high, id_low, high, low];
        message.extend_from_slice(self.token.as_bytes());
        message.resize(HEADER + PAYLOAD, 0);
        // That of IPv6 is made by the system, which knows the addresses.
        if self.is_v4 {
            let sum = checksum(&message).to_be_bytes();
            message[2..4].copy_from_slice(&sum);
        }
        message
    }

    /// The number of the request that a message answers, if it does.
    pub(super) fn answered(&self, message: &[u8]) -> Option<u16> {
        let reply = if self.is_v4 { REPLY_V4 } else { REPLY_V6 };
        let (header, payload) = message.split_at_checked(HEADER)?;
        let is_ours = header[0] == reply && header[1] == 0 && payload.starts_with(self.token.as_bytes());
        is_ours.then(|| u16::from_be_bytes([header[6], header[7]]))
    }
}

/// The checksum of the Internet protocols (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replies_to_this_tasks_requests_count() {
        for (address, reply) in [("127.0.0.1", REPLY_V4), ("::1", REPLY_V6)] {
            let echo = Echo::new(address.parse().unwrap());
            let request = echo.request(258);
            assert_eq!(request.len(), 64);
            // The request itself, which a raw socket sees of the machine's own.
            assert_eq!(echo.answered(&request), None);
            let mut message = request.clone();
            message[0] = reply;
            assert_eq!(echo.answered(&message), Some(258));
            assert_eq!(Echo::new(address.parse().unwrap()).answered(&message), None);
            for length in 0..24 {
                assert_eq!(echo.answered(&message[..length]), None);
            }
        }
    }

    #[test]
    fn the_checksum_makes_the_sum_of_all_words_zero() {
        let request = Echo::new("127.0.0.1".parse().unwrap()).request(1);
        assert_eq!(checksum(&request), 0);
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
