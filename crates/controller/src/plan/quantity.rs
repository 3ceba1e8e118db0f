//! Sizes as Kubernetes writes them.

/// The bytes in a quantity such as `10Gi`, `1.5G`, `1e9` or `500M`; none where it is not one. Fractions of a byte are lost.
pub(super) fn bytes(text: &str) -> Option<u128> {
    const SUFFIXES: [(&str, u32, u32); 13] = [
        ("Ki", 2, 10),
        ("Mi", 2, 20),
        ("Gi", 2, 30),
        ("Ti", 2, 40),
        ("Pi", 2, 50),
        ("Ei", 2, 60),
        ("k", 10, 3),
        ("M", 10, 6),
        ("G", 10, 9),
        ("T", 10, 12),
        ("P", 10, 15),
        ("E", 10, 18),
        ("", 10, 0),
    ];
    let (number, base, exponent) = SUFFIXES
        .iter()
        .find_map(|&(suffix, base, exponent)| Some((text.strip_suffix(suffix)?, base, exponent)))?;
    let (number, exponent) = match number.split_once(['e', 'E']) {
        Some((number, more)) if base == 10 && exponent == 0 => (number, more.parse().ok()?),
        _ => (number, exponent),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let unit = u128::from(base).checked_pow(exponent)?;
    Some(digits.parse::<u128>().ok()?.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_bytes() {
        let cases = [
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("10M", Some(10_000_000)),
            ("1e3", Some(1000)),
            ("12", Some(12)),
            ("1E", Some(10_u128.pow(18))),
            ("64Ki", Some(65536)),
            ("", None),
            ("Gi", None),
            ("1GB", None),
            ("-1", None),
            ("1e99999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
