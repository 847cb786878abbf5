"""The page: a static, self-contained leaderboard made from what is stored. Needs no torch and no server."""
