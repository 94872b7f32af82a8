#!/usr/bin/env node
// npm links only programs that exist when it installs, and dist/ is built after that.
import "../dist/cli/main.js";
