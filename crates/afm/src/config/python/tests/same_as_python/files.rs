//! Whole files, written as users of Flask write them.

use super::{Evaluated, by_flask, by_us};

/// Every key of these has a value, the same as Flask's.
const FILES: &[&str] = &[
    // The environment, with defaults
    "import os\n\nDEBUG = False\nSQLALCHEMY_DATABASE_URI = os.getenv('X', 'sqlite:////tmp/afm.db')\n\
     SQLALCHEMY_TRACK_MODIFICATIONS = True\nAGENT_RETURN_TIME = int(os.environ.get('RETURN_TIME', 30))\n\
     SECRET_KEY = os.environ.get('SECRET_KEY') or 'dev'\n",
    // A folder beside the file
    "# -*- coding: utf-8 -*-\n'''Settings.'''\nfrom os import environ, path\nbasedir = path.abspath(path.dirname(__file__))\n\
     SQLALCHEMY_DATABASE_URI = environ.get('X') or \\\n    'sqlite:///' + path.join(basedir, 'app.db')\n",
    // Parts of a URI
    "import os\nfrom urllib.parse import quote_plus as q\nDB_USER = 'afm'\nDB_PASS = q(os.environ['PASSWORD'])\n\
     DB = {'host': 'db', 'port': 5432}\nA = 'postgresql://%s:%s@%s:%d/afm' % (DB_USER, DB_PASS, DB['host'], DB['port'])\n\
     B = 'postgresql://{user}:{0}@{host}:{port}/afm'.format(DB_PASS, user=DB_USER, **DB)\n\
     C = f'postgresql://{DB_USER}:{DB_PASS}@{DB[\"host\"]}:{DB[\"port\"]}/afm'\n",
    // An old scheme is mended
    "import os\nuri = os.environ.get('DATABASE_URL', 'sqlite:///data.db')\nif uri.startswith('postgres://'):\n    \
     uri = uri.replace('postgres://', 'postgresql://', 1)\nSQLALCHEMY_DATABASE_URI = uri\n",
    // Branches
    "import os\nENV = os.environ.get('ENV', 'production')\nif ENV == 'development':\n    DEBUG = True\n    LOG_LEVEL = 'DEBUG'\n\
     elif ENV == 'testing':\n    DEBUG = True\n    TESTING = True\nelse:\n    DEBUG = False\n    LOG_LEVEL = 'WARNING'\n\
     if not DEBUG: A = 1; B = 2\n",
    // Numbers with a fallback
    "import os\ntry:\n    A = int(os.environ['NUMBER'])\nexcept KeyError:\n    A = 5\ntry:\n    B = int(os.environ['X'])\n\
     except (KeyError, ValueError):\n    B = 5\nelse:\n    B = 6\nfinally:\n    C = 7\ntry:\n    D = int('x')\nexcept ValueError as error:\n    D = 8\n\
     try:\n    E = int('5')\nexcept ValueError:\n    E = 0\nelse:\n    E += 1\n",
    "try:\n    A = unicode('a')\nexcept NameError:\n    A = str('a')\ntry:\n    try:\n        B = 1 / 0\n    except KeyError:\n        B = 2\n\
     except ArithmeticError:\n    B = 3\ntry:\n    C = {}['a']\nexcept LookupError:\n    C = 4\ntry:\n    D = 1 + 'a'\nexcept:\n    D = 5\n",
    // Statements of all kinds
    "A = B = 5\nC, D = 1, 2\n[E, F] = (3, [4])\n(G, (H, I)) = 5, (6, 7)\nJ: int = 8\nK: str\nA += 1\nB *= 2 + 1\nL = 'a'\nL += 'b'\nL %= ()\n\
     M = (1,)\nM += (2,)\nN = 5; del N\nassert A == 6, 'never'\npass\nif True: O = (P := 5) + 1\nglobal Q\nQ = P ** 2\n'a text'\n5\n",
    // The environment, changed
    "import os\nos.environ['Y'] = 'set'\nos.environ.setdefault('Z', 'also')\nos.environ.setdefault('NUMBER', '1')\nA = os.environ['Y'] + os.getenv('Z') + os.environ['NUMBER']\n",
    // Imports
    "from __future__ import annotations\nimport os.path\nimport os.path as p\nimport datetime, logging\nimport datetime as dt\n\
     from datetime import timedelta as td\nfrom logging import INFO\nfrom os.path import join, dirname\nimport urllib.parse\nimport logging.handlers\n\
     A = os.path.join('a', 'b') + p.join('c', 'd')\nB = datetime.timedelta(minutes=5)\nC = dt.timedelta(1) + td(hours=2)\n\
     D = logging.DEBUG\nE = INFO\nF = join(dirname('/a/b'), 'c')\nG = urllib.parse.quote('a b')\nLOG_LEVEL = logging.WARNING\n",
    // Ends of lines, blanks, comments and quotes
    "\u{feff}A = 1\r\nB = '''a\r\nb'''\r\nC = (2 *\r\n  3)  # six\r\n",
    "A = 1\rB = [1,\r2]\r",
    "\n\n  # a comment\nA = {  # b\n    'a': [1,  # c\n          2],\n}\n\x0cB = 'a#b'  # '\nC = \"it's\"\nif A:\n\tD = 1\n",
    "A = 1",
    "",
    "# only a comment",
    "a = 1\nAb = 2\n_ = 3\n__ = 4\nA1 = 5\nÄ = 6\nÄÖ_1 = 7\nß = 8\n_A = 9\n",
    // A key that is set again, in the order of the first
    "A = 1\nB = 2\nA = 3\n",
    // What is printed
    "A = 1\nprint('settings', A)\nB = 2\n",
    "import os\nIS_DOCKER = 'X' in os.environ\nDATA = '/data' if IS_DOCKER else os.path.expanduser('~/data')\nHOSTS = ','.join(['a', 'b'])\n\
     RETENTION = 30 * 24 * 60 * 60\nPOOL = max(1, min(10, int(os.getenv('POOL', '5'))))\nECHO = os.getenv('ECHO', 'no').lower() in ('1', 'true', 'yes')\n",
];

/// Flask finds values where we find none, and none where it finds other values.
const PARTLY: &[(&str, &[&str])] = &[
    ("import secrets\nA = secrets.token_hex()\nB = 1\n", &["A"]),
    (
        "import socket\nA = socket.gethostname()\nB = A == 'x'\nC = 'sqlite://'\nif B:\n    C = 'x'\n    D = 5\nE = C\nF = 6\n",
        &["A", "B", "C", "D", "E"],
    ),
    ("def f(): return 5\nA = f()\nB = 1\nC = [1]\nC.append(2)\nD = C[0]\nE = 2\n", &["A", "C", "D"]),
    ("A = 1\nfor B in (1, 2):\n    A += B\nC = 5\nwhile A < 10:\n    A += 1\n", &["A", "B"]),
    ("class Config:\n    A = 1\nB = Config.A\nC = 2\n", &["B"]),
    (
        "try:\n    import colorsys as A\n    B = True\nexcept ImportError:\n    B = False\nC = 5\n",
        &["A", "B"],
    ),
    ("try:\n    from no_such_module import A\nexcept ImportError:\n    A = 5\nC = 5\n", &["A"]),
    (
        "import os\nos.environ.pop('NUMBER', None)\nos.environ['HOME'] = str(object)\nA = 1\nB = os.environ['HOME']\n",
        &["B"],
    ),
    ("import os\ndel os.environ['NUMBER']\nA = os.environ.get('NUMBER')\nC = 1\n", &["A"]),
    ("A = {'a': 1}\nA['b'] = 2\nB = A\nC = 1\n", &["A", "B"]),
    ("A = [1]\nB = A\nB += [2]\nC = 5\n", &["A", "B"]),
    ("with open('/dev/null') as file:\n    A = file.read()\nB = 2\n", &["A"]),
    ("A, *B = [1, 2, 3]\nC = 1\n", &["A", "B"]),
    ("def A(): pass\nclass B: pass\nC = lambda: 1\nD = 2\n", &["A", "B", "C"]),
    ("import sys\nif sys.version_info[0] < 3:\n    A = 1\nelse:\n    A = 2\nB = 3\n", &["A"]),
    ("A = 1\nexec('A = 2')\n", &[]),
];

#[test]
fn whole_files_hold_what_flask_finds_in_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("afm.cfg").display().to_string();
    let sources: Vec<String> = FILES.iter().map(|&source| source.to_owned()).collect();
    for (source, theirs) in sources.iter().zip(by_flask(&path, &sources)) {
        // `FlaskFile` passes sources on in this form.
        let clean = source.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
        let ours = by_us(&path, &clean).expect(source);
        let ours =
            ours.into_iter().map(|(key, value)| (key, value.unwrap_or_else(|fault| format!("{fault:?}"))));
        assert_eq!(Evaluated::Keys(ours.collect()), theirs, "{source}");
    }
}

#[test]
fn what_cannot_be_told_is_not_guessed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("afm.cfg").display().to_string();
    let sources: Vec<String> = PARTLY.iter().map(|(source, _)| (*source).to_owned()).collect();
    for ((source, unknown), theirs) in PARTLY.iter().zip(by_flask(&path, &sources)) {
        let Evaluated::Keys(theirs) = theirs else { panic!("{source}: {theirs:?}") };
        let ours = by_us(&path, source).expect(source);
        let without: Vec<&str> =
            ours.iter().filter(|(_, value)| value.is_err()).map(|(key, _)| key.as_str()).collect();
        assert_eq!(&without, unknown, "{source}");
        for (key, value) in ours {
            // Code in a string is the one thing that may change a name unseen; it leaves a remark.
            if let Ok(value) = value
                && !source.contains("exec(")
            {
                assert_eq!(theirs.get(&key), Some(&value), "{source}");
            }
        }
    }
}

#[test]
fn a_file_that_python_ends_with_an_exception_is_refused() {
    let sources = [
        "raise ValueError('no')\n",
        "import os\nif not os.environ.get('X'):\n    raise RuntimeError('X is missing')\n",
        "assert 1 == 2\n",
        "undefined\n",
        "import os\nos.environ['X']\n",
        "try:\n    A = 1 / 0\nexcept KeyError:\n    A = 1\n",
        "try:\n    raise KeyError\nexcept ValueError:\n    pass\n",
        "del A\n",
        "A = 1\nif A:\nB = 2\n",
        "  A = 1\n",
        "A = 1\n  B = 2\n",
        "print 'a'\n",
    ]
    .map(str::to_owned);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("afm.cfg").display().to_string();
    for (source, theirs) in sources.iter().zip(by_flask(&path, &sources)) {
        assert!(matches!(theirs, Evaluated::Raises(_)), "{source}: {theirs:?}");
        assert!(by_us(&path, source).is_err(), "{source}");
    }
}
