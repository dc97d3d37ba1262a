//! inet and cidr, addresses with the length of their network's prefix; macaddr and macaddr8.

use std::net::Ipv6Addr;

use bytes::{BufMut, BytesMut};

use crate::error::{Result, SqlError, SqlState};
use crate::types::complaint::{bad_binary, bad_message_length, bad_syntax};

/// An address. Of version 4, the first four bytes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub bytes: [u8; 16],
    pub v6: bool,
    /// Length of the prefix, at most [`Net::width`].
    pub bits: u8,
}

impl Net {
    pub const fn width(self) -> u8 {
        if self.v6 { 128 } else { 32 }
    }

    const fn len(self) -> usize {
        if self.v6 { 16 } else { 4 }
    }

    pub const fn family(self) -> i32 {
        if self.v6 { 6 } else { 4 }
    }

    /// The address as a number; a prefix of `n` bits is its `n` highest of [`Net::width`].
    pub fn number(self) -> u128 {
        let all = u128::from_be_bytes(self.bytes);
        if self.v6 { all } else { all >> 96 }
    }

    /// Another address of the same family; 22003 for one beyond it.
    pub fn with_number(self, number: u128) -> Result<Self> {
        if !self.v6 && number > u128::from(u32::MAX) {
            return Err(super::out_of_range("result is out of range"));
        }
        let all = if self.v6 { number } else { number << 96 };
        Ok(Self { bytes: all.to_be_bytes(), ..self })
    }

    /// Ones where the prefix of this length is.
    pub fn mask(self) -> u128 {
        let width = u32::from(self.width());
        let full = if self.v6 { u128::MAX } else { u128::from(u32::MAX) };
        match u32::from(self.bits) {
            0 => 0,
            bits => full >> (width - bits) << (width - bits) & full,
        }
    }

    /// The address with everything behind the prefix zero.
    pub fn network(self) -> Self {
        let kept = self.number() & self.mask();
        self.with_number(kept).unwrap_or(self)
    }

    /// Whether the other's network lies in this one's, or is it.
    pub fn covers(self, other: Self) -> bool {
        self.v6 == other.v6 && self.bits <= other.bits && self.number() & self.mask() == other.number() & self.mask()
    }

    pub fn overlaps(self, other: Self) -> bool {
        let least = self.bits.min(other.bits);
        let (a, b) = (Self { bits: least, ..self }, Self { bits: least, ..other });
        a.v6 == b.v6 && a.network() == b.network()
    }

    /// The address without its prefix.
    pub fn host(self) -> String {
        if self.v6 {
            v6_text(&self.bytes)
        } else {
            let [a, b, c, d, ..] = self.bytes;
            format!("{a}.{b}.{c}.{d}")
        }
    }

    /// With its prefix in any case.
    pub fn full(self) -> String {
        format!("{}/{}", self.host(), self.bits)
    }

    /// As an inet shows it: without a prefix that is the whole address.
    pub fn inet(self) -> String {
        if self.bits == self.width() { self.host() } else { self.full() }
    }

    /// From the canonical text of inet or cidr.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text, "inet").ok_or_else(|| bad_syntax("inet", text))
    }
}

pub fn read_inet(text: &str) -> Result<String> {
    Ok(Net::parse(text)?.inet())
}

pub fn read_cidr(text: &str) -> Result<String> {
    let net = parse(text, "cidr").ok_or_else(|| bad_syntax("cidr", text))?;
    if net.network() != net {
        let message = format!("invalid cidr value: \"{text}\"");
        return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message).detail("Value has bits set to right of mask."));
    }
    Ok(net.full())
}

fn parse(text: &str, kind: &str) -> Option<Net> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => {
            let plain = (1..=3).contains(&bits.len()) && bits.bytes().all(|b| b.is_ascii_digit());
            (address, Some(if plain { bits.parse::<u8>().ok()? } else { return None }))
        }
        None => (text, None),
    };
    if address.contains(':') {
        let bytes = address.parse::<Ipv6Addr>().ok()?.octets();
        let bits = bits.unwrap_or(128);
        return (bits <= 128).then_some(Net { bytes, v6: true, bits });
    }
    let mut bytes = [0; 16];
    let mut count: u8 = 0;
    for part in address.split('.') {
        let plain = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if !plain || count == 4 {
            return None;
        }
        bytes[usize::from(count)] = part.parse().ok()?;
        count += 1;
    }
    let bits = match bits {
        Some(bits) if kind == "inet" && bits / 8 > count => return None,
        Some(bits) => bits,
        None if count == 4 => 32,
        None if kind == "inet" => return None,
        // The classes of old, and as many bytes as were written.
        None => {
            let class = match bytes[0] {
                240.. => 32,
                224..240 => 8,
                192..224 => 24,
                128..192 => 16,
                ..128 => 8,
            };
            class.max(count * 8)
        }
    };
    (bits <= 32).then_some(Net { bytes, v6: false, bits })
}

/// The longest run of two zeros or more is left out; an address of version 4 inside is written as one.
fn v6_text(bytes: &[u8; 16]) -> String {
    let words: Vec<u16> = bytes.chunks(2).map(|pair| u16::from(pair[0]) << 8 | u16::from(pair[1])).collect();
    let (mut best, mut at) = ((0, 0), 0);
    while at < 8 {
        let run = words[at..].iter().take_while(|word| **word == 0).count();
        if run > best.1 {
            best = (at, run);
        }
        at += run.max(1);
    }
    let (from, run) = if best.1 >= 2 { best } else { (8, 0) };
    let inner = from == 0 && (run == 6 || (run == 5 && words[5] == 0xffff));
    let mut out = String::new();
    let mut at = 0;
    while at < 8 {
        if at == from {
            out.push_str("::");
            at += run;
            continue;
        }
        if at > 0 && at != from + run {
            out.push(':');
        }
        if inner && at == 6 {
            let [.., a, b, c, d] = bytes;
            out.push_str(&format!("{a}.{b}.{c}.{d}"));
            break;
        }
        out.push_str(&format!("{:x}", words[at]));
        at += 1;
    }
    out
}

/// PostgreSQL's numbers of the two families, bits, whether it is a cidr, how many bytes, the bytes.
pub fn put(text: &str, cidr: bool, out: &mut BytesMut) -> Result<()> {
    let net = Net::parse(text)?;
    out.put_u8(if net.v6 { 3 } else { 2 });
    out.put_u8(net.bits);
    out.put_u8(u8::from(cidr));
    out.put_u8(net.len() as u8);
    out.put_slice(&net.bytes[..net.len()]);
    Ok(())
}

pub fn from_binary(bytes: &[u8], cidr: bool) -> Result<String> {
    let name = if cidr { "cidr" } else { "inet" };
    let bad = |what: &str| bad_binary(format!("invalid {what} in external \"{name}\" value"));
    let ([family, bits, _, len], rest) = bytes.split_first_chunk::<4>().ok_or_else(bad_message_length)?;
    let v6 = match family {
        2 => false,
        3 => true,
        _ => return Err(bad("address family")),
    };
    let mut net = Net { bytes: [0; 16], v6, bits: *bits };
    if *bits > net.width() {
        return Err(bad("bits"));
    }
    if usize::from(*len) != net.len() {
        return Err(bad("length"));
    }
    match rest.len() {
        have if have < net.len() => return Err(bad_message_length()),
        have if have > net.len() => return Err(bad_binary("incorrect binary data format")),
        have => net.bytes[..have].copy_from_slice(rest),
    }
    if !cidr {
        return Ok(net.inet());
    }
    if net.network() != net {
        let error = SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, "invalid external \"cidr\" value");
        return Err(error.detail("Value has bits set to right of mask."));
    }
    Ok(net.full())
}

/// By family, network, length of the prefix and address.
pub fn push_key(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let net = Net::parse(text)?;
    out.push(u8::from(net.v6));
    out.extend_from_slice(&net.network().bytes);
    out.push(net.bits);
    out.extend_from_slice(&net.bytes);
    Ok(())
}

pub fn read_mac(text: &str) -> Result<String> {
    let bytes = mac_digits(text).filter(|bytes| bytes.len() == 6).ok_or_else(|| bad_syntax("macaddr", text))?;
    Ok(mac_text(&bytes))
}

/// Eight bytes; six get `ff:fe` in their middle.
pub fn read_mac8(text: &str) -> Result<String> {
    let bytes = mac_digits(text).ok_or_else(|| bad_syntax("macaddr8", text))?;
    match bytes[..] {
        [a, b, c, d, e, f] => Ok(mac_text(&[a, b, c, 0xff, 0xfe, d, e, f])),
        _ if bytes.len() == 8 => Ok(mac_text(&bytes)),
        _ => Err(bad_syntax("macaddr8", text)),
    }
}

/// The bytes of `08:00:2b:01:02:03` and its like: one kind of separator, in groups of one length.
fn mac_digits(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let separator = text.chars().find(|c| matches!(c, ':' | '-' | '.'));
    let groups: Vec<&str> = match separator {
        Some(separator) => text.split(separator).collect(),
        None => vec![text],
    };
    let total: usize = groups.iter().map(|group| group.len()).sum();
    let width = match (separator, groups.len()) {
        (None, _) => total,
        (Some(':' | '-'), 6 | 8) => 2,
        (Some(':' | '-'), 2) => 6,
        (Some('.' | '-'), 3 | 4) => 4,
        _ => return None,
    };
    // A byte of its own may be written with one digit.
    let digits = |group: &str| match group.len() {
        1 if width == 2 => Some(format!("0{group}")),
        len if len == width => Some(group.to_owned()),
        _ => None,
    };
    let all = groups.into_iter().map(digits).collect::<Option<String>>()?;
    if !matches!(all.len(), 12 | 16) || !all.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..all.len() / 2).map(|at| u8::from_str_radix(all.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}

pub fn mac_text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// The bytes of a canonical text.
pub fn mac_bytes(text: &str) -> Vec<u8> {
    mac_digits(text).unwrap_or_default()
}

pub fn mac_from_binary(bytes: &[u8], eight: bool) -> Result<String> {
    match (bytes, eight) {
        ([a, b, c, d, e, f], true) => Ok(mac_text(&[*a, *b, *c, 0xff, 0xfe, *d, *e, *f])),
        (_, true) => super::whole::<8>(bytes).map(|bytes| mac_text(&bytes)),
        (_, false) => super::whole::<6>(bytes).map(|bytes| mac_text(&bytes)),
    }
}
