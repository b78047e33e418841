//! Names of the files that steer the tools of gates.

/// Patterns of files that are held to the base whole, wherever they lie, and that no tool makes while it builds or tests. What
/// follows from one of them decides which tests run, or what runs in their place. What a gate adds of them would steer the next
/// gate.
pub(super) const NEVER_BUILT: &[&str] = &[
    "**/conftest.py",
    "**/pytest.ini",
    "**/.pytest.ini",
    "**/pytest.toml",
    "**/.pytest.toml",
    "**/tox.ini",
    "**/sitecustomize.py",
    "**/usercustomize.py",
    "**/jest.config.*",
    "**/vitest.config.*",
    "**/babel.config.*",
    "**/.babelrc*",
    "**/.mocharc*",
];

/// Patterns of further files that are held to the base whole. A tool may make one: `./configure` makes a `Makefile`.
pub(super) const MAY_BE_BUILT: &[&str] = &[
    // Python
    "**/tox.toml",
    "**/noxfile.py",
    "**/.coveragerc",
    "**/*.pth",
    // Rust
    "**/.cargo",
    "**/.cargo/**",
    "**/.config/nextest.toml",
    "**/rust-toolchain",
    "**/rust-toolchain.toml",
    // JavaScript
    "**/.npmrc",
    "**/.pnpmfile.cjs",
    "**/.yarnrc*",
    "**/vitest.workspace.*",
    "**/vite.config.*",
    "**/.swcrc",
    "**/karma.conf.*",
    "**/playwright.config.*",
    "**/node_modules/.bin",
    "**/node_modules/.bin/**",
    // Build tools
    "**/Makefile",
    "**/GNUmakefile",
    "**/justfile",
    "**/.justfile",
    "**/Taskfile.y*ml",
    "**/CTestConfig*.cmake",
    "**/CTestCustom*.cmake",
    // Java
    "**/gradlew*",
    "**/gradle/wrapper",
    "**/gradle/wrapper/**",
    "**/init.gradle*",
    "**/mvnw*",
    "**/.mvn",
    "**/.mvn/**",
    // What runs them elsewhere
    ".github",
    ".github/**",
    ".gitlab-ci.yml",
    ".circleci",
    ".circleci/**",
    "Jenkinsfile",
];

/// Folders into which tools install other people's files, which have such names too and steer nothing here.
pub(super) const INSTALLED: &[&str] =
    &["node_modules", "site-packages", "dist-packages", ".tox", ".nox", "target", "vendor"];

/// Folders in the root from which tools are started before those of the image. Nobody who asks for a change asks for one
/// of these where the base has none.
pub(super) const ENVIRONMENTS: &[&str] = &["node_modules", "venv", ".venv"];

/// Python modules of the test tools. `python -m pytest` looks in the folder that it is started in before it looks where it
/// is installed, so a file of this name stands in front of it.
///
/// `PYTHONSAFEPATH` would close that way too, and with it the way on which honest tests in a root find their own modules.
pub(super) const TOOL_MODULES: &[&str] = &[
    "_pytest",
    "colorama",
    "coverage",
    "exceptiongroup",
    "execnet",
    "hypothesis",
    "iniconfig",
    "nose",
    "nox",
    "packaging",
    "pluggy",
    "py",
    "pygments",
    "pytest",
    "tomli",
    "tox",
    "xdist",
];

/// Beginning of the names of plugins of pytest.
pub(super) const PLUGIN_PREFIX: &str = "pytest_";

/// Modules of Python's standard library. `test` is not among them: tests are what it holds elsewhere.
pub(super) const STANDARD_MODULES: &str = "
    abc argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 calendar cmath cmd code
    codecs codeop collections colorsys compileall concurrent configparser contextlib contextvars copy copyreg
    cProfile csv ctypes curses dataclasses datetime dbm decimal difflib dis doctest email encodings ensurepip
    enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc genericpath getopt
    getpass gettext glob graphlib grp gzip hashlib heapq hmac html http imaplib importlib inspect io
    ipaddress itertools json keyword linecache locale logging lzma mailbox marshal math mimetypes mmap
    modulefinder multiprocessing netrc ntpath numbers opcode operator optparse os pathlib pdb pickle
    pickletools pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile
    pyclbr pydoc queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select
    selectors shelve shlex shutil signal site smtplib socket socketserver sqlite3 sre_compile sre_constants
    sre_parse ssl stat statistics string stringprep struct subprocess symtable sys sysconfig syslog tabnanny
    tarfile tempfile termios textwrap threading time timeit tkinter token tokenize tomllib trace traceback
    tracemalloc tty turtle types typing unicodedata unittest urllib uuid venv warnings wave weakref
    webbrowser wsgiref xml xmlrpc zipapp zipfile zipimport zlib zoneinfo
";

/// Endings of files from which Python loads a module.
pub(super) const MODULE_ENDINGS: &[&str] = &["py", "pyc", "so"];
