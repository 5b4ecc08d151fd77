//! Rates, times and money as people read them: two digits, and a unit that fits.

/// `3.1 M`, `390 k`, `35`, `0.27`.
pub(crate) fn rate(value: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")];
    match UNITS.iter().find(|(least, _)| value >= least * 0.9995) {
        Some((least, unit)) => format!("{}{unit}", digits(value / least)),
        None => digits(value),
    }
}

/// `80 ms`, `3.2 min`, `4.0 y`, and thousands and millions of years: `48 ky`, `1.3 My`.
pub(crate) fn time(seconds: f64) -> String {
    const YEAR: f64 = 365.25 * 86_400.0;
    const UNITS: [(f64, &str); 8] = [
        (1e6 * YEAR, "My"),
        (1e3 * YEAR, "ky"),
        (YEAR, "y"),
        (86_400.0, "d"),
        (3600.0, "h"),
        (60.0, "min"),
        (1.0, "s"),
        (1e-3, "ms"),
    ];
    if seconds < 1e-3 {
        return "< 1 ms".to_owned();
    }
    let (least, unit) = UNITS.iter().find(|(least, _)| seconds >= least * 0.9995).unwrap_or(&UNITS[7]);
    let value = seconds / least;
    if value >= 999.5 && *unit == "My" {
        format!("{value:.1e} My")
    } else {
        format!("{} {unit}", digits(value))
    }
}

/// `< $0.01`, `$1.20`, `$340`, `$5.1 M`, `$2.3e12`.
pub(crate) fn money(dollars: f64) -> String {
    if dollars < 0.01 {
        return "< $0.01".to_owned();
    }
    if dollars < 9.995 {
        return format!("${dollars:.2}");
    }
    if dollars >= 999.5e9 { format!("${dollars:.1e}") } else { format!("${}", rate(dollars)) }
}

fn digits(value: f64) -> String {
    if value >= 9.95 {
        format!("{value:.0}")
    } else {
        format!("{value:.*}", if value < 0.995 { 2 } else { 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_and_a_unit() {
        let rates = [0.273, 4.99, 35.2, 999.7, 3.14e6, 1.27e9, 1e13].map(rate);
        assert_eq!(rates, ["0.27", "5.0", "35", "1.0 k", "3.1 M", "1.3 G", "10 T"]);
        let times = [1e-5, 0.08, 59.0, 200.0, 9000.0, 3e5, 1.3e8, 1.5e12, 4e14, 4e16].map(time);
        let expected =
            ["< 1 ms", "80 ms", "59 s", "3.3 min", "2.5 h", "3.5 d", "4.1 y", "48 ky", "13 My", "1.3e3 My"];
        assert_eq!(times, expected);
        let sums = [0.001, 1.2, 340.0, 5.1e6, 2.3e12].map(money);
        assert_eq!(sums, ["< $0.01", "$1.20", "$340", "$5.1 M", "$2.3e12"]);
    }
}
