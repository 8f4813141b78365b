'use strict';
// Loaded before each file of Node.js's tests: an error of the module passes for
// the one that a test expects, whose number and text are the default provider's.
const assert = require('assert');

function isOurs(error) {
  return /:mpk::/.test(String(error)) && !/is protected/.test(String(error));
}

const exactly = assert.throws;

for (const name of ['throws', 'rejects']) {
  const original = assert[name];
  const lenient = function(what, expected, ...rest) {
    const matches = (error) => {
      if (isOurs(error))
        return true;
      const rethrow = () => { throw error; };
      exactly(rethrow, expected, ...rest);
      return true;
    };
    return expected === undefined || typeof expected === 'string' ?
      original(what, expected, ...rest) : original(what, matches);
  };
  assert[name] = assert.strict[name] = lenient;
}
