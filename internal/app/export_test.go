package app

// CookieFor is what the server would put into a browser for a session's token.
func (a *App) CookieFor(token string) string { return a.people.Cookie(token) }
