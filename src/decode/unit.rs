//! OpenTelemetry unit codes back to CloudWatch's `StandardUnit` names.
//!
//! Source: the CloudWatch user guide, "Translations with OpenTelemetry format in CloudWatch metric
//! streams", with its odd capitals (`MBit` and `GBit`, but `kbit` and `Tbit`).

/// The name for a code; a code that is not in the table is none.
pub(super) fn standard(code: &str) -> Option<&'static str> {
    Some(match code {
        "s" => "Seconds",
        "ms" => "Milliseconds",
        "us" => "Microseconds",
        "By" => "Bytes",
        "kBy" => "Kilobytes",
        "MBy" => "Megabytes",
        "GBy" => "Gigabytes",
        "TBy" => "Terabytes",
        "bit" => "Bits",
        "kbit" => "Kilobits",
        "MBit" => "Megabits",
        "GBit" => "Gigabits",
        "Tbit" => "Terabits",
        "%" => "Percent",
        "{Count}" => "Count",
        "1" => "None",
        "By/s" => "Bytes/Second",
        "kBy/s" => "Kilobytes/Second",
        "MBy/s" => "Megabytes/Second",
        "GBy/s" => "Gigabytes/Second",
        "TBy/s" => "Terabytes/Second",
        "bit/s" => "Bits/Second",
        "kbit/s" => "Kilobits/Second",
        "MBit/s" => "Megabits/Second",
        "GBit/s" => "Gigabits/Second",
        "Tbit/s" => "Terabits/Second",
        "{Count}/s" => "Count/Second",
        _ => return None,
    })
}
