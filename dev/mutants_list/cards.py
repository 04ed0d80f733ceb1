"""Kept cards, automatic top-ups, the wallet's currency."""

from dev.mutants_list.making import AUTO, CARDS, LOCKS, Mutant, code

MUTANTS: tuple[Mutant, ...] = (
    code("card-own", "a card is its owner's", "wallet/cards.py",
         "SavedCard.id == min(card_id, LARGEST_ID), SavedCard.user_id == user_id)", "SavedCard.id == min(card_id, LARGEST_ID))", CARDS, "wallet/test_card_pages.py"),
    code("card-payer-lock", "no charge begins behind a deletion's back", "auth/account_locks.py",
         "select(User).where(User.id == user_id).with_for_update(key_share=True)", "select(User).where(User.id == user_id)", LOCKS),
    code("card-once", "one form is one charge", "wallet/card_charges.py",
         "    if not is_ours:\n        return top_up\n", "", CARDS),
    code("card-given-up", "what was given up is not charged", "wallet/card_charges.py",
         '    if top_up.state != "opened":\n        return top_up', '    if False:\n        return top_up', CARDS),
    code("card-second-no", "a no to the second try is not believed", "wallet/card_charges.py",
         "            if is_first:\n                return topups.give_up(", "            if True:\n                return topups.give_up(", CARDS),
    code("auto-lock", "automatic top-ups are counted under a lock", "wallet/auto_topups.py",
         "AutoTopUp.is_on).with_for_update()\n        wish", "AutoTopUp.is_on)\n        wish", LOCKS),
    code("auto-one", "one automatic top-up is under way", "wallet/auto_topups.py",
         "if wish is None or _under_way(user_id) or ledger", "if wish is None or ledger", AUTO),
    code("auto-below", "nothing is charged at the threshold", "wallet/auto_topups.py",
         "if wish is None or _under_way(user_id) or ledger.balance(user_id).spendable_minor >= wish.below_minor:", "if wish is None or _under_way(user_id):", AUTO, LOCKS),
    code("auto-limit", "the day's limit holds", "wallet/auto_topups.py",
         "count >= MOST_A_DAY or sum_minor + wish.amount_minor > wish.day_limit_minor:", "count >= MOST_A_DAY:", AUTO),
    code("auto-most", "so many a day, whatever the amounts", "wallet/auto_topups.py",
         "if count >= MOST_A_DAY or sum_minor", "if sum_minor", AUTO),
    code("auto-debt", "who owes is charged nothing", "wallet/auto_topups.py",
         "    if db.session.scalar(owed) is not None:\n", "    if False:\n", AUTO),
    code("auto-account", "a closed account is charged nothing", "wallet/auto_topups.py",
         "    if not (user.is_active and user.is_verified and policies.has_accepted(user)):\n", "    if False:\n", AUTO),
    code("auto-off", "switched off is off", "wallet/auto_topups.py",
         "locked = select(AutoTopUp).where(AutoTopUp.user_id == user_id, AutoTopUp.is_on)", "locked = select(AutoTopUp).where(AutoTopUp.user_id == user_id)", LOCKS, AUTO),
    code("wallet-one-currency", "nothing serves wallets in another currency", "wallet/currency_guard.py",
         "    if found:\n        other", "    if False:\n        other", "wallet/test_currencies.py"),
)  # fmt: skip
