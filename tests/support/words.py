"""Pieces of text and bytes that readers stumble over."""

NUMBERS = ["0", "-1", "1e999", "-1e999", "NaN", "Infinity", "+.inf", "._", "1e5", "1.0e+5", "1e308", "1e-320"]
NUMBERS += ["2147483648", "4294967295", "9223372036854775808", "0x10", "0b_", "0o8", "1_000", "1:59:59", "2001-12-14"]
NUMBERS += ["9" * 400, "9" * 5000]

TEXTS = ["", " ", "\0", "\n", "\t", "\x1b[2J", "\u2028", "\u202e", "\ufeff", "\U0001f600", "\ud800", "é" * 300]
TEXTS += ["..", "../../x", "/etc/passwd", "C:\\x", "file://x", "a/b/c", "<script>", "$(id)", "%s{0}", "=1+1"]
TEXTS += ["~", "yes", "no", "null", "x" * 70_000]

YAML = r"""
!!python/object/apply:os.system ['true']
!!python/name:os.system
!!binary aGk=
!!set {a}
!!omap [a: 1]
!!int x
!!float x
!!bool x
!!timestamp x
! a
&a [*a]
&a {b: *a}
*a
<<: *a
<<: {a: 1}
? [a]
? {a: b}
- - - -
---
...
%YAML 9.9
|
=
<<
null: 1
1: 2
yes: 1
2001-01-01: x
2001-12-14t21:59:43.10-05:00
0b_
a: &x 1
''
"\0"
"\uD800"
"\e[2J"
&a [x,x,x,x,x,x,x,x,x,x]
[*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
""".splitlines()
YAML += ["[" * 2000, "[" * 200_000, "{a: " * 3000, "- " * 3000, "|\n  x", "\t"]

JSON = r"""
"\ud800"
"\u0000"
NaN
-Infinity
[[[[]]]]
{"id":1,"id":2}
nul
""".splitlines()
JSON += ['{"a":' * 900, "[" * 900 + "]" * 900, "[" * 100_000, "{}", "[]", "true", '""']

TOKENS = [text.encode("utf-8", "surrogatepass") for text in (*NUMBERS, *TEXTS, *YAML, *JSON)]
TOKENS += [b"\xff" * 4, b"\x00" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80", b"PK\x03\x04", b"\x80\x02"]
