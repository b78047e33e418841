//! A kernel without Landlock, as a program finds it that is started by this one.

/// Puts a filter on itself under which the kernel knows no Landlock: its three calls, which have the same numbers on every
/// architecture, fail as on a kernel without them.
pub const WITHOUT_LANDLOCK: &str = "
import ctypes, struct
rules = [(0x20, 0, 0, 0), (0x35, 0, 2, 444), (0x25, 1, 0, 446), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *rule) for rule in rules))
class Program(ctypes.Structure):
    _fields_ = [('count', ctypes.c_ushort), ('rules', ctypes.c_void_p)]
program = Program(len(rules), ctypes.cast(code, ctypes.c_void_p))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()";
