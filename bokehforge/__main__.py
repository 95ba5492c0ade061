from bokehforge.cli import main

raise SystemExit(main())
