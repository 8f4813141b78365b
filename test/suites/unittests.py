"""Runs tests of Python's unittest, and writes a line for each to RESULTS, "ok
NAME" or "failed NAME".

    unittests.py RESULTS NAME...

What the tests print comes between unittest's own words, so these say too little.
"""

import sys
import unittest

RESULTS = open(sys.argv[1], "w", buffering=1)


class Result(unittest.TextTestResult):
    def say(self, word, test):
        print(word, test.id(), file=RESULTS)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say("ok", test)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.say("ok", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.say("failed", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say("failed", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.say("failed", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.say("failed", test)


unittest.main(module=None, argv=sys.argv[:1] + sys.argv[2:],
              testRunner=unittest.TextTestRunner(verbosity=2,
                                                 resultclass=Result))
