//! Sets of networks, for lists of addresses that are refused.

use std::net::IpAddr;

/// A set of addresses, given as CIDR blocks. Overlapping blocks are merged, so a look-up is a binary
/// search however long the list is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// Reads blocks such as `203.0.113.0/24`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    /// One sentence that quotes the first block which is none.
    pub fn parse<'a>(blocks: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for block in blocks {
            let wrong = || format!("{block:?} is not a network such as 203.0.113.0/24");
            let (address, length) = match block.split_once('/') {
                Some((address, length)) => {
                    (address, Some(length.parse::<u8>().map_err(|_| wrong())?))
                }
                None => (block, None),
            };
            match address.parse::<IpAddr>().map_err(|_| wrong())? {
                IpAddr::V4(ip) => {
                    let hosts = u32::MAX.checked_shr(u32::from(length.unwrap_or(32)));
                    let hosts = match length {
                        Some(33..) => return Err(wrong()),
                        _ => hosts.unwrap_or(0),
                    };
                    let first = u32::from(ip) & !hosts;
                    v4.push((first, first | hosts));
                }
                IpAddr::V6(ip) => {
                    let hosts = u128::MAX.checked_shr(u32::from(length.unwrap_or(128)));
                    let hosts = match length {
                        Some(129..) => return Err(wrong()),
                        _ => hosts.unwrap_or(0),
                    };
                    let first = u128::from(ip) & !hosts;
                    v6.push((first, first | hosts));
                }
            }
        }
        Ok(Self { v4: merged(v4), v6: merged(v6) })
    }

    /// Whether the set is empty: then nobody's address needs to be asked for.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether the address lies in one of the blocks.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(ip) => within(&self.v4, u32::from(ip)),
            IpAddr::V6(ip) => within(&self.v6, u128::from(ip)),
        }
    }
}

fn within<N: Ord + Copy>(ranges: &[(N, N)], wanted: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= wanted);
    after.checked_sub(1).and_then(|i| ranges.get(i)).is_some_and(|(_, last)| wanted <= *last)
}

fn merged<N: Ord + Copy>(mut ranges: Vec<(N, N)>) -> Vec<(N, N)> {
    ranges.sort_unstable();
    let mut out: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => out.push((first, last)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn has(networks: &Networks, address: &str) -> bool {
        networks.contains(address.parse().unwrap())
    }

    #[test]
    fn both_families_and_single_addresses() {
        let set = Networks::parse(["203.0.113.0/24", "2001:db8::/32", "192.0.2.1", "::1"]).unwrap();
        assert!(has(&set, "203.0.113.255") && !has(&set, "203.0.114.0"));
        assert!(has(&set, "2001:db8:ffff::1") && !has(&set, "2001:db9::"));
        assert!(has(&set, "192.0.2.1") && !has(&set, "192.0.2.2"));
        assert!(has(&set, "::1") && !has(&set, "::2"));
    }

    #[test]
    fn the_whole_world_and_nothing() {
        let set = Networks::parse(["0.0.0.0/0"]).unwrap();
        assert!(has(&set, "255.255.255.255") && !has(&set, "::1"));
        assert!(Networks::parse([]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_network_is_quoted() {
        for wrong in ["10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "", "10.0.0.0/", "10.0.0.0/-1"] {
            let error = Networks::parse([wrong]).unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_looking_at_each_block(
            blocks in prop::collection::vec((0u32..4096, 16u8..=32), 0..20), wanted in 0u32..4096,
        ) {
            let spread = |n: u32| n << 12;
            let text: Vec<String> = blocks
                .iter()
                .map(|(n, length)| format!("{}/{length}", Ipv4Addr::from(spread(*n))))
                .collect();
            let set = Networks::parse(text.iter().map(String::as_str)).unwrap();
            let wanted = spread(wanted);
            let expected = blocks.iter().any(|(n, length)| {
                let mask = u32::MAX << (32 - u32::from(*length));
                spread(*n) & mask == wanted & mask
            });
            prop_assert_eq!(set.contains(IpAddr::V4(wanted.into())), expected);
        }
    }
}
