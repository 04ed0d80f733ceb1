"""Transactions, jobs and turns."""

from dev.mutants_list.making import BELOW, LEDGER, RACES, TOPUPS, Mutant, code

MUTANTS: tuple[Mutant, ...] = (
    code("db-nesting", "transaction() refuses to nest", "db.py",
         '    if in_transaction():\n        raise RuntimeError("a transaction is open already")\n    if db.session.info',
         "    if db.session.info", BELOW),
    code("db-rollback", "an error in transaction() takes everything back", "db.py",
         "    except BaseException:\n        db.session.rollback()\n        raise\n",
         "    except BaseException:\n        db.session.commit()\n        raise\n",
         BELOW),
    code("db-require", "ledger verbs run inside transaction() only", "db.py",
         '    if not in_transaction():\n        raise RuntimeError("this must run', '    if False:\n        raise RuntimeError("this must run',
         LEDGER),
    code("db-leave", "no call to the outside inside a transaction", "db.py",
         '    if in_transaction():\n        raise RuntimeError("no call', '    if False:\n        raise RuntimeError("no call',
         TOPUPS, "guards/test_calls_outside.py"),
    code("db-leave-rollback", "a call to the outside holds no connection", "db.py",
         'transaction")\n    db.session.rollback()\n\n\ndef database_time', 'transaction")\n\n\ndef database_time',
         "guards/test_calls_outside.py"),
    code("jobs-require", "a job is written in somebody's transaction", "jobs.py",
         "    require_transaction()\n    if tracing.known_id", "    if tracing.known_id", BELOW),
    code("jobs-connection", "a job exists only if its transaction committed", "jobs.py",
         "connection=db.session.connection())", "connection=db.engine.connect().execution_options(isolation_level='AUTOCOMMIT'))",
         BELOW),
    code("claim-moves", "what was taken is not taken again", "claims.py",
         "            .values({due: func.now() + again_in, **more})\n", "            .values({due: due, **more})\n", RACES),
)  # fmt: skip
